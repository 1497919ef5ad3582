/** The page on which a person sees which apps they let in, and takes that back. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { introspect, refresh, registerPerson, signedIn } from '../../support/application.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse();
});
afterAll(() => server.stop());

const list = (): string => `${server.issuer}/account/applications`;
const withdrawUrl = (clientId: string): string => `${list()}/withdraw?client=${encodeURIComponent(clientId)}`;

it('lists the apps, asks once, and ends what they may do', async () => {
  const { application, person, tokens, credentials } = await signedIn(server, { name: 'Ledger & Sons' });
  const page = await person.open(list());
  expect(page.html).toContain('Ledger &amp; Sons');
  expect(page.html).not.toContain('your account</p>');
  const question = await person.open(withdrawUrl(application.clientId));
  expect(question.html).toContain('Withdraw access from Ledger &amp; Sons?');

  const kept = await person.submit(question, { decision: 'keep' }, '/withdraw');
  expect(kept.html).toContain('Ledger &amp; Sons');
  expect(await introspect(server, application, tokens.access_token)).toMatchObject({ active: true });

  const done = await person.submit(question, { decision: 'withdraw' }, '/withdraw');
  expect(done.html).toContain('Access withdrawn.');
  expect(done.html).not.toContain('Ledger &amp; Sons');
  await withinASecond(async () =>
    expect(await introspect(server, application, tokens.access_token)).toEqual({ active: false }),
  );
  expect((await refresh(server, application, tokens.refresh_token!)).status).toBe(400);
  const { account } = credentials;
  const { events } = await server.subjects.audit.list({ types: ['consent.revoked'], accountId: account.id });
  expect(events).toMatchObject([
    { actor: { kind: 'account', id: account.id }, client_id: application.clientId },
  ]);
  // The session goes on.
  expect((await person.open(list())).html).toContain(account.email);
});

it('knows nothing of apps that this person did not let in', async () => {
  const [ada, bob] = [await signedIn(server), await signedIn(server)];
  const strange = await ada.person.open(withdrawUrl(bob.application.clientId));
  expect(strange.url.pathname).toBe('/account/applications');
  const own = await ada.person.open(withdrawUrl(ada.application.clientId));
  const forged = await ada.person.submit(
    own,
    { decision: 'withdraw', client: bob.application.clientId },
    '/withdraw',
  );
  expect(forged.html).not.toContain('Access withdrawn.');
  const refused = await ada.person.request(`${list()}/withdraw`, {
    method: 'POST',
    headers: {
      origin: new URL(server.issuer).origin,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ client: bob.application.clientId, decision: 'withdraw' }),
  });
  expect([refused.status, refused.headers.get('location')]).toEqual([303, '/account/applications']);
  expect(await recordedOf(server, refused)).toMatchObject([
    { type: 'request.refused', payload: { error: 'consent_not_found', status: 303 } },
  ]);
  expect(await introspect(server, bob.application, bob.tokens.access_token)).toMatchObject({ active: true });
});

it('is for who is signed in, and its form for no other site', async () => {
  const { application, person, tokens } = await signedIn(server);
  const stranger = await createPerson(server.issuer).open(list());
  expect(stranger.html).toContain('name="password"');
  const crossSite = await person.request(`${list()}/withdraw`, {
    method: 'POST',
    headers: { 'sec-fetch-site': 'cross-site', 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ client: application.clientId, decision: 'withdraw' }),
  });
  expect(crossSite.status).toBe(403);
  expect(await introspect(server, application, tokens.access_token)).toMatchObject({ active: true });
});

it('says so where there is none', async () => {
  const { email, password } = await registerPerson(server);
  const person = createPerson(server.issuer);
  const signIn = await person.open(list());
  await person.submit(signIn, { identifier: email, password }, '/login');
  expect((await person.open(list())).html).toContain('You have let no app in');
});
