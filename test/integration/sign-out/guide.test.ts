/** The program and the commands of docs/guides/logout-notices.md, run as they stand there. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
  signedIn,
} from '../../support/application.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guide, type Guides } from '../../support/guides.ts';
import { createPerson } from '../../support/person.ts';
import { freePort } from '../../support/ports.ts';

let server: TestServer;
let guides: Guides;
let guide: Guide;

beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
  guides = await openGuides(server);
  guide = await guides.follow('logout-notices');
}, 60_000);
afterAll(async () => {
  await guides?.close();
  await server?.stop();
});

it('ends the session of a person who signed out, and believes nobody else', async () => {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}/backchannel-logout`;
  const { application, credentials, tokens } = await signedIn(server, { backchannelLogoutUri: address });
  const { sid } = JSON.parse(
    Buffer.from((tokens.id_token ?? '').split('.')[1] ?? '', 'base64url').toString(),
  ) as { sid: string };
  const file = path.join(guides.folder, 'receiver.mjs');
  const program = await readFile(file, 'utf8');
  await writeFile(
    file,
    program.replace("'somebody'", `'${credentials.account.sub}'`).replace("'their-session'", `'${sid}'`),
  );
  const running = guide.start('node receiver.mjs', [], {
    ISSUER: server.issuer,
    CLIENT_ID: application.clientId,
    PORT: String(port),
  });
  await running.printed(/listening/);

  // An ID token is signed by the same key for the same client.
  for (const forged of [tokens.id_token ?? '', 'nothing', '']) {
    const body = new URLSearchParams({ logout_token: forged });
    expect((await fetch(address, { method: 'POST', body })).status).toBe(400);
  }
  await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
  await running.printed(/ended 1/);
  await eventually(async () => expect(await guide.runLater('audit list')).toContain('delivered'));
}, 60_000);

it('registers both addresses, and the page of the browser from an origin of the client only', async () => {
  const application = await registerApplication(server, { redirectUris: ['https://app.example.com/back'] });
  await guide.runLater('--backchannel-logout-uri', { CLIENT_ID: application.clientId });
  await guide.runLater('--frontchannel-logout-uri', { CLIENT_ID: application.clientId });
  expect(await server.subjects.clients.get(application.clientId)).toMatchObject({
    backchannelLogoutUri: 'https://app.example.com/backchannel-logout',
    frontchannelLogoutUri: 'https://app.example.com/signed-out',
  });

  const person = createPerson(server.issuer);
  const request = authorizationRequest(server, application);
  const code = codeOf(await authorize(person, request, await registerPerson(server)));
  expect((await redeem(server, application, { code, verifier: request.verifier })).status).toBe(200);
  const asked = await person.open(`${server.issuer}/oauth/logout`);
  const { html } = await person.submit(asked, { logout: 'yes' });
  expect(html).toContain('<iframe src="https://app.example.com/signed-out?');

  const stranger = await registerApplication(server);
  await expect(guide.runLater('--frontchannel-logout-uri', { CLIENT_ID: stranger.clientId })).rejects.toThrow(
    /one of the redirect URIs/,
  );
}, 60_000);
