/** The commands and the program of docs/guides/keys.md, run as they stand there. */
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  registerApplication,
  registerPerson,
  signedIn,
  type Tokens,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guide, type Guides } from '../../support/guides.ts';
import { createPerson } from '../../support/person.ts';

// Commands start a process each.
jest.setTimeout(90_000);

let server: TestServer;
let guides: Guides;
let guide: Guide;
beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_KEYS_ALGORITHMS: 'RS256,ES256,EdDSA,ML-DSA-65' } });
  guides = await openGuides(server);
  guide = await guides.follow('keys');
});
afterAll(async () => {
  await guides?.close();
  await server?.stop();
});

async function signedBy(token: string): Promise<string> {
  const program = guide.start('node signed-by.mjs TOKEN', [token]);
  expect(await program.exited).toBe(0);
  return program.output().trim();
}

const ofAlgorithm = async (alg: string): Promise<string[]> =>
  (await server.subjects.keys.list()).filter((key) => key.alg === alg).map(({ state }) => state);

it('replaces a key, takes out one that leaked, and says which tokens end', async () => {
  const { tokens } = await signedIn(server, { idTokenAlg: 'ES256' }, 'openid');
  const idToken = tokens.id_token ?? '';
  const [alg, kid = ''] = (await signedBy(idToken)).split(' ');
  expect(alg).toBe('ES256');

  expect(await guide.runLater('keys rotate')).toMatch(/ES256 +next/);
  await expect(guide.runLater('keys rotate')).rejects.toThrow(/ended with 1/);
  expect(await ofAlgorithm('ES256')).toEqual(['next', 'current']);
  expect(await signedBy(idToken)).toBe(`ES256 ${kid}`);

  const said = await guide.runLater('keys retire', { KID: kid });
  const withoutTime = (text: string): string => text.replaceAll(/[\d-]{10} [\d:]{8}/g, 'TIME');
  expect(withoutTime(said)).toContain(withoutTime(guide.text('output', 'retired')));
  expect(await ofAlgorithm('ES256')).toEqual(['current', 'removed']);
  expect(await signedBy(idToken)).toBe('ERR_JWKS_NO_MATCHING_KEY');
  expect(await guide.runLater('audit list')).toMatch(/key\.removed[\s\S]*key\.tokens_ended[\s\S]*"count":1/);
  await expect(guide.runLater('keys retire', { KID: kid })).rejects.toThrow(/ended with 1/);

  const next = await signedIn(server, { idTokenAlg: 'ES256' }, 'openid');
  expect(await signedBy(next.tokens.id_token ?? '')).toMatch(/^ES256 /);
});

it('signs with ML-DSA-65 for a client that asks for it', async () => {
  const application = await registerApplication(server);
  await guide.runLater('clients update', { CLIENT_ID: application.clientId });
  const request = authorizationRequest(server, application, { scope: 'openid' });
  const person = createPerson(server.issuer);
  const code = codeOf(await authorize(person, request, await registerPerson(server)));
  const answer = await redeem(server, application, { code, verifier: request.verifier });
  const { id_token: idToken = '' } = (await answer.json()) as Tokens;
  // Node.js warns on the line before.
  expect(await signedBy(idToken)).toMatch(/^ML-DSA-65 /m);
});
