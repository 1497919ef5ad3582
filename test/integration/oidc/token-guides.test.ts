/** What the guides about tokens have people type, and the programs that they print. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';

import { ask, redeemFor, registerVisitor, tokensOf } from '../../support/apis.ts';
import { OPERATOR, type Tokens } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guides } from '../../support/guides.ts';

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

it('token exchange: a service gets a token that names it as the one who acts, and none without the person', async () => {
  const guide = await guides.follow('token-exchange');
  const { client_id: clientId, client_secret: secret } = JSON.parse(
    await readFile(`${guides.folder}/web-shop.json`, 'utf8'),
  ) as { client_id: string; client_secret: string };
  const application = { clientId, secret, redirectUri: `${guides.here}/callback` };
  const visitor = await registerVisitor(server, { roles: ['customer'], application });
  const asked = await ask(server, visitor, {
    resource: 'https://ledger.example.com',
    scope: 'openid invoices:read',
  });
  const tokens = await tokensOf(await redeemFor(server, application, asked, 'https://ledger.example.com'));
  const exchanged = async (): Promise<Partial<Tokens> & { error?: string }> => {
    const program = guide.start('node vault-token.mjs TOKEN', [tokens.access_token]);
    expect(await program.exited).toBe(0);
    return JSON.parse(program.output()) as Partial<Tokens> & { error?: string };
  };

  const answer = await exchanged();
  expect(decodeJwt(answer.access_token ?? '')).toMatchObject({
    ...(JSON.parse(guide.text('claims', 'delegated')) as object),
    sub: visitor.credentials.account.sub,
  });
  await server.subjects.accounts.disable(visitor.credentials.account.id, OPERATOR);
  expect(await exchanged()).toMatchObject({ error: 'invalid_request' });
  expect(await guide.runLater('audit list')).toMatch(/token\.issued[\s\S]*token\.refused/);
}, 120_000);

it('refresh tokens: what is said of clients and APIs is what they have', async () => {
  await guides.follow('refresh-tokens');
  const { clients, apis } = server.subjects;
  expect(await clients.get('mobile-app')).toMatchObject({
    refreshTokenIdleSeconds: 7 * 86_400,
    refreshTokenAbsoluteSeconds: 30 * 86_400,
    scopes: ['openid', 'profile'],
    dpopBoundAccessTokens: true,
    rotateRefreshTokens: false,
  });
  expect(await apis.get('https://health.example.com')).toMatchObject({
    refreshTokenIdleSeconds: 900,
    refreshTokenAbsoluteSeconds: 28_800,
    allowOfflineAccess: false,
  });
}, 60_000);

it('client authentication: by a secret in the body, and by a key; a refusal is in the log', async () => {
  const guide = await guides.follow('client-authentication');
  const printed = async (command: string): Promise<string> => {
    const program = guide.start(command);
    expect(await program.exited).toBe(0);
    return program.output();
  };
  expect(await printed('node export.mjs')).toBe('bearer 600\n');
  await printed('node make-report-key.mjs');
  await guide.runLater('clients create');
  expect(await printed('node report.mjs')).toBe('bearer 600\n');

  const { client_id: id } = JSON.parse(await readFile(`${guides.folder}/export.json`, 'utf8')) as {
    client_id: string;
  };
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: id,
    client_secret: 'guess',
  });
  const { status } = await fetch(`${server.issuer}/oauth/token`, { method: 'POST', body });
  expect(status).toBe(401);
  expect(await guide.runLater('audit list')).toContain('invalid_client');
}, 60_000);
