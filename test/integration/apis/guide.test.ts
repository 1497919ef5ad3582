/** The guide's own API, in both forms, before the tokens that it is about and those that it must refuse. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { ask, redeemFor, registerApi, registerRole, registerVisitor, tokensOf } from '../../support/apis.ts';
import { basicOf, type Tokens } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guide, type Guides } from '../../support/guides.ts';

const LEDGER = 'https://ledger.example.com';
const EXAMPLES = ['node ledger.mjs', 'node ledger-asking.mjs'];

let server: TestServer;
let guides: Guides;
let guide: Guide;
beforeAll(async () => {
  server = await startGatehouse();
  guides = await openGuides(server);
  guide = await guides.follow('protect-an-api');
}, 120_000);
afterEach(() => guides.stopPrograms());
afterAll(async () => {
  await guides.close();
  await server.stop();
});

async function reportToken(): Promise<string> {
  const program = guide.start('node report.mjs report.json');
  const [answer] = await program.printed(/\{.*\}/);
  return (JSON.parse(answer) as { access_token: string }).access_token;
}

async function tokensOfClerk(): Promise<{ tokens: Tokens; application: Parameters<typeof basicOf>[0] }> {
  const visitor = await registerVisitor(server, { roles: ['clerk'] });
  const asked = await ask(server, visitor, {
    resource: LEDGER,
    scope: 'openid invoices:read invoices:write',
  });
  const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, LEDGER));
  return { tokens, application: visitor.application };
}

const call = (method: string, authorization?: string): Promise<Response> =>
  fetch(guides.here, { method, headers: authorization === undefined ? {} : { authorization } });
const challengeOf = (response: Response): [number, string | null] => [
  response.status,
  response.headers.get('www-authenticate'),
];

describe.each(EXAMPLES)('%s', (command) => {
  const start = async (): Promise<void> => {
    await guide.start(command).printed(/The ledger is at/);
  };

  it('lets in who may, and says to the others why not', async () => {
    await start();
    const { tokens } = await tokensOfClerk();
    const report = await reportToken();
    expect((await call('GET', `Bearer ${tokens.access_token}`)).status).toBe(200);
    expect((await call('POST', `Bearer ${tokens.access_token}`)).status).toBe(200);
    expect((await call('GET', `bearer ${report}`)).status).toBe(200);
    expect(challengeOf(await call('POST', `Bearer ${report}`))).toEqual([
      403,
      'Bearer error="insufficient_scope", scope="invoices:write"',
    ]);
    expect(challengeOf(await call('GET'))).toEqual([401, 'Bearer']);
  });

  it('refuses a token of another kind, or for another API', async () => {
    await start();
    const { tokens } = await tokensOfClerk();
    const other = await registerApi(server);
    const role = await registerRole(server, other, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, { resource: other.identifier, scope: 'openid read' });
    const foreign = await tokensOf(await redeemFor(server, visitor.application, asked, other.identifier));
    for (const token of [tokens.id_token, foreign.access_token, tokens.refresh_token, 'nonsense']) {
      expect(challengeOf(await call('GET', `Bearer ${token}`))).toEqual([
        401,
        'Bearer error="invalid_token"',
      ]);
    }
  });
});

it('asking, refuses what was revoked', async () => {
  await guide.start('node ledger-asking.mjs').printed(/The ledger is at/);
  const { tokens, application } = await tokensOfClerk();
  await fetch(`${server.issuer}/oauth/revoke`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URLSearchParams({ token: tokens.access_token }),
  });
  expect((await call('GET', `Bearer ${tokens.access_token}`)).status).toBe(401);
});
