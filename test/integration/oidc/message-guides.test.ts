/** The programs of the guides about signed and encrypted messages, run as they stand there. */
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';

import { registerPerson } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guides } from '../../support/guides.ts';
import { createPerson } from '../../support/person.ts';

// Commands start a process each.
jest.setTimeout(90_000);

let server: TestServer;
let guides: Guides;
let who: Awaited<ReturnType<typeof registerPerson>>;
beforeAll(async () => {
  server = await startGatehouse();
  guides = await openGuides(server);
  who = await registerPerson(server);
});
afterEach(() => guides.stopPrograms());
afterAll(async () => {
  await guides?.close();
  await server?.stop();
});

it.each([
  {
    guide: 'signed-requests-and-responses',
    key: 'node make-key.mjs',
    program: 'node signed.mjs',
    hello: () => who.account.sub,
  },
  {
    guide: 'encrypted-tokens',
    key: 'node make-encryption-key.mjs',
    program: 'node encrypted.mjs',
    hello: () => who.email,
  },
])('$guide', async ({ guide: name, key, program, hello }) => {
  const guide = await guides.follow(name);
  expect(await guide.start(key).exited).toBe(0);
  await guide.runLater('gatehouse clients create');
  await guide.start(program).printed(/sign-in at/);

  const begun = await fetch(guides.here, { redirect: 'manual' });
  const person = createPerson(server.issuer);
  const page = await person.open(begun.headers.get('location') ?? '');
  const back = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
  expect(back.url.origin).toBe(guides.here);
  expect(await (await fetch(back.url)).text()).toBe(`Hello, ${hello()}`);
});

it('tells where a refusal is found', async () => {
  const guide = await guides.follow('signed-requests-and-responses');
  await fetch(`${server.issuer}/oauth/authorize?client_id=nobody`);
  expect(await guide.runLater('gatehouse audit list')).toContain('authorization.failed');
});
