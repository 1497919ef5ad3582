/** What a request says about the pages and the person, without any right to it (OIDC Core §3.1.2.1). */
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { authorizationRequest, registerApplication, type Application } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

let server: TestServer;
let application: Application;
beforeAll(async () => {
  server = await startGatehouse();
  application = await registerApplication(server);
});
afterAll(() => server.stop());

const signInPage = async (parameters: Record<string, string>): Promise<string> => {
  const page = await createPerson(server.issuer).open(
    authorizationRequest(server, application, parameters).url,
  );
  expect(page.status).toBe(200);
  expect(page.html).toContain('name="password"');
  return page.html;
};

it.each([
  ['an address', 'ada@example.test', 'value="ada@example.test"'],
  ['a name in another script', 'Ада', 'value="Ада"'],
  [
    'a piece of a page',
    '"><script>alert(1)</script>',
    'value="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"',
  ],
])('login_hint is written into the field: %s', async (_what, hint, expected) => {
  const html = await signInPage({ login_hint: hint });
  expect(html).toContain(expected);
  expect(html).not.toContain('<script>alert');
});

it.each<Record<string, string>>([
  { ui_locales: 'fr-CA fr en' },
  { ui_locales: 'xx' },
  { ui_locales: '../../etc' },
  { claims_locales: 'de' },
  { display: 'touch' },
  { display: 'hologram' },
])('%j asks for nothing that must be: the pages speak English', async (parameters) => {
  expect(await signInPage(parameters)).toContain('<html lang="en"');
});
