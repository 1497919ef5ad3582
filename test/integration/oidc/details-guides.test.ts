/** docs/guides/authorization-details.md and docs/guides/pairwise-subjects.md, followed to the letter. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { authorize, registerPerson } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guides } from '../../support/guides.ts';
import { createPerson } from '../../support/person.ts';

let server: TestServer;
let guides: Guides;
beforeAll(async () => {
  server = await startGatehouse();
  guides = await openGuides(server);
}, 120_000);
afterAll(async () => {
  await guides.close();
  await server.stop();
});

it('asks for a payment in words, and tells the bank', async () => {
  const guide = await guides.follow('authorization-details');
  const shop = guide.start('node shop.mjs');
  await shop.printed(/The shop is open/);
  const sent = await fetch(guides.here, { redirect: 'manual' });
  const person = createPerson(server.issuer);
  const request = { url: sent.headers.get('location') ?? '', verifier: '', state: '', nonce: '' };
  const page = await authorize(person, request, await registerPerson(server));
  for (const text of ['Make a payment', 'EUR 123.50', 'IBAN: DE02100100109307118603']) {
    expect(page.html).toContain(text);
  }
  const back = await person.submit(page, { decision: 'allow' }, '/consent');
  await fetch(back.url);
  const [answer] = await shop.printed(/\{"granted".*\}/);
  const { granted, token } = JSON.parse(answer) as { granted: unknown; token: string };
  await guides.stopPrograms();

  await guide.start('node bank.mjs').printed(/The bank is open/);
  const ask = (bearer: string): Promise<Response> =>
    fetch(guides.here, { headers: { authorization: `Bearer ${bearer}` } });
  expect(await (await ask(token)).json()).toEqual(granted);
  expect((await ask(`${token}x`)).status).toBe(403);
}, 120_000);

it('keeps what another provider called a person', async () => {
  await guides.follow('pairwise-subjects');
  const grace = await server.subjects.accounts.findByLogin('grace@example.com');
  expect(await server.subjects.pairwiseSubjects.list(grace?.id ?? '')).toMatchObject([
    { sector: 'shop.example', sub: '6b1f7e1c-4a0d-4a57-9f6e-2b1d1f6a9c55' },
  ]);
}, 120_000);
