import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { createLogger } from '../../../src/platform/logger.ts';
import { openState } from '../../../src/state.ts';
import { createSubjects } from '../../../src/subjects.ts';
import { CLI_SECRET_KEY, createTestCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

interface Key {
  kid: string;
  alg: string;
  state: string;
}

const NEW_SECRET_KEY = 'the-secret-key-that-follows-0123456789abcdef';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
  const loaded = loadConfig({ env: cli.env, configDirectory: 'config' });
  if (loaded.kind !== 'ok') throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const logger = createLogger({ level: 'warn', format: 'json' });
  const state = await openState({ config, logger, isCommand: true });
  const subjects = createSubjects({ config, logger, state, hasher: createInlineHasher() });
  const { id } = await subjects.accounts.create(
    { email: 'ada@example.org' },
    { kind: 'system', name: 'test' },
  );
  await subjects.factors.beginTotpEnrolment(id);
  await subjects.keys.ensureKeys();
  await subjects.audit.close();
  await state.close();
});
afterAll(() => cli.stop());

const list = async (): Promise<Key[]> => (await cli.run(['keys', 'list', '--json'])).lines<Key>();
const find = async (alg: string, state: string): Promise<Key | undefined> =>
  (await list()).find((key) => key.alg === alg && key.state === state);

it('lists the keys without their private parts', async () => {
  const { stdout } = await cli.run(['keys', 'list', '--json']);
  expect(stdout).not.toMatch(/"d":|v1\./);
  expect((await list()).map(({ alg, state }) => `${alg} ${state}`).sort()).toEqual([
    'ES256 current',
    'EdDSA current',
    'RS256 current',
  ]);
  expect((await cli.run(['keys', 'list'])).stdout).toMatch(/^KID +ALG +STATE +SIGNS FROM \(UTC\)/);
});

it('rotates one algorithm, refuses to do it twice, and retires the old key', async () => {
  const before = await find('ES256', 'current');
  const only = await cli.run(['keys', 'retire', before!.kid, '--json']);
  expect([only.code, only.error().error]).toEqual([1, 'only_signing_key']);
  const [next] = (await cli.run(['keys', 'rotate', '--alg', 'ES256', '--json'])).lines<Key>();
  expect(next).toMatchObject({ alg: 'ES256', state: 'next' });
  const twice = await cli.run(['keys', 'rotate', '--alg', 'ES256', '--json']);
  expect([twice.code, twice.error().error]).toEqual([1, 'rotation_under_way']);
  expect((await cli.run(['keys', 'retire', before!.kid, '--json'])).json()).toMatchObject({
    state: 'retired',
  });
  expect((await find('ES256', 'current'))?.kid).toBe(next!.kid);
  const withdrawn = await cli.run(['keys', 'retire', before!.kid, '--withdraw-now', '--json']);
  expect(withdrawn.json()).toMatchObject({ state: 'removed' });
});

it('rotates at once, and the keys of cookies by themselves', async () => {
  const [key] = (await cli.run(['keys', 'rotate', '--alg', 'EdDSA', '--immediately', '--json'])).lines<Key>();
  expect(key).toMatchObject({ state: 'current' });
  const cookieKeys = async (): Promise<number> =>
    (await cli.database.db.query<{ n: number }>('select count(*)::int as n from cookie_keys')).rows[0]!.n;
  const before = await cookieKeys();
  expect((await cli.run(['keys', 'rotate', '--cookies', '--json'])).json()).toEqual({ cookies: true });
  expect(await cookieKeys()).toBe(before + 1);
});

it('seals everything anew with a new secret key, after which the old one can go', async () => {
  const renewed = { GATEHOUSE_SECRET_KEY: NEW_SECRET_KEY, GATEHOUSE_PREVIOUS_SECRET_KEYS: CLI_SECRET_KEY };
  const alone = { GATEHOUSE_SECRET_KEY: NEW_SECRET_KEY };
  const tooSoon = await cli.run(['keys', 'reseal', '--json'], { env: alone });
  expect(tooSoon.code).toBe(1);
  const resealed = (await cli.run(['keys', 'reseal', '--json'], { env: renewed })).json<{
    keys: number;
    account_secrets: number;
  }>();
  expect(resealed.keys).toBeGreaterThanOrEqual(5);
  expect(resealed.account_secrets).toBe(1);
  const again = await cli.run(['keys', 'reseal', '--json'], { env: alone });
  expect(again.json()).toMatchObject({ keys: 0, account_secrets: 0 });
});
