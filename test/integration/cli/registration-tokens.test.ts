import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { createTestCli, type TestCli, words } from '../../support/cli.ts';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli({ GATEHOUSE_REGISTRATION_ENABLED: 'true' });
});
afterAll(() => cli.stop());

interface Token {
  id: string;
  token: string;
}

it('makes a token, lists it without its value, and ends it', async () => {
  const made = await cli.run(
    words`registration-tokens create --name ${'Team Atlas'} --uses 5 --expires 7d --redirect-host *.atlas.example.com loopback --json`,
  );
  expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
  const { id, token } = made.json<Token & Record<string, unknown>>();
  const listed = {
    id,
    name: 'Team Atlas',
    state: 'good',
    uses: 0,
    max_uses: 5,
    redirect_hosts: ['*.atlas.example.com', 'loopback'],
    grant_types: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile', 'email', 'offline_access'],
    auth_methods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    kinds: ['web', 'native', 'browser'],
    created_at: expect.any(String),
    expires_at: expect.any(String),
    revoked_at: null,
  };
  expect(made.json()).toEqual({ ...listed, token });
  expect((await cli.run(words`registration-tokens list --json`)).json()).toEqual(listed);
  expect((await cli.run(words`registration-tokens list`)).stdout).toMatch(/Team Atlas +0 of 5 .* good$/m);

  const revoked = await cli.run(words`registration-tokens revoke ${id} --json`);
  expect(revoked.json()).toMatchObject({ id, state: 'revoked' });
  const events = await cli.run(words`audit list --json`);
  expect(events.lines().map(({ type }) => type)).toEqual(
    expect.arrayContaining(['registration_token.created', 'registration_token.revoked']),
  );
  expect(events.stdout).not.toContain(token);
});

it('says where a token is shown, and that registration is off', async () => {
  const made = await cli.run(words`registration-tokens create --name Robots --kind machine`, {
    env: { GATEHOUSE_REGISTRATION_ENABLED: 'false' },
  });
  expect(made.stdout).toContain('The registration token, shown this once:');
  expect(made.stdout).toMatch(/Grant types +client_credentials$/m);
  expect(made.stderr).toContain('Registration is off');
});

it.each([
  [words`registration-tokens create --redirect-host app.example --json`, 2, 'misused'],
  [words`registration-tokens create --name A --json`, 2, 'misused'],
  [words`registration-tokens create --name A --kind robot --json`, 2, 'misused'],
  [
    words`registration-tokens create --name A --redirect-host https://app.example --json`,
    1,
    'invalid_registration_token',
  ],
  [words`registration-tokens revoke none --json`, 1, 'registration_token_not_found'],
])('refuses %j', async (args, code, error) => {
  const outcome = await cli.run(args);
  expect([outcome.code, outcome.error().error]).toEqual([code, error]);
});

it('prints what an API publishes about itself', async () => {
  await cli.run(
    words`apis create --identifier https://ledger.example --name Ledger --permission ${'read=See your invoices'}`,
  );
  expect((await cli.run(words`apis metadata https://ledger.example --json`)).json()).toEqual({
    resource: 'https://ledger.example',
    resource_name: 'Ledger',
    authorization_servers: [expect.stringMatching(/^http:\/\/localhost/)],
    scopes_supported: ['read'],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: expect.arrayContaining(['ES256']),
    dpop_bound_access_tokens_required: false,
  });
  expect((await cli.run(words`apis metadata https://none.example --json`)).code).toBe(1);
});
