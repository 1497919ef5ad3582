/** The program of docs/guides/requests.md, run as it stands there. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';

import { registerPerson } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guide, type Guides } from '../../support/guides.ts';
import { createPerson } from '../../support/person.ts';
import { postedForm } from '../../support/posted-form.ts';

let server: TestServer;
let guides: Guides;
let guide: Guide;
beforeAll(async () => {
  server = await startGatehouse();
  guides = await openGuides(server);
  guide = await guides.follow('requests');
}, 90_000);
afterAll(async () => {
  await guides?.close();
  await server?.stop();
});

it('asks for claims, a person and a form, and gives back what it got', async () => {
  const who = await registerPerson(server);
  await guide.start('node shop.mjs').printed(/The shop is at/);
  const begun = await fetch(`${guides.here}/?who=${encodeURIComponent(who.email)}`, { redirect: 'manual' });
  const sent = new URL(begun.headers.get('location') ?? '');
  expect([...sent.searchParams.keys()].toSorted()).toEqual(['client_id', 'request_uri']);

  const person = createPerson(server.issuer);
  const page = await person.open(sent.href);
  expect(page.html).toContain(`value="${who.email}"`);
  const answer = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
  const back = await fetch(postedForm(answer.html));
  expect(await back.text()).toBe(`Ada, ${who.email}. Access has ended.`);
}, 60_000);

it('tells why a request that was not pushed is refused', async () => {
  const { client_id: id } = JSON.parse(await readFile(`${guides.folder}/shop.json`, 'utf8')) as {
    client_id: string;
  };
  const query = new URLSearchParams({
    client_id: id,
    redirect_uri: `${guides.here}/callback`,
    response_type: 'code',
    scope: 'openid',
  });
  await fetch(`${server.issuer}/oauth/authorize?${query.toString()}`, { redirect: 'manual' });
  expect(await guide.runLater('audit list')).toContain('Pushed Authorization Request must be used');
}, 60_000);
