import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { loadConfig } from '../../../src/config/load.ts';
import { formatProblems, type Problem } from '../../../src/config/problem.ts';
import { productionNotices } from '../../../src/config/production-rules.ts';

const configDirectory = join(import.meta.dirname, '../../../config');

const sound = {
  GATEHOUSE_ENV: 'production',
  GATEHOUSE_ISSUER: 'https://id.example.com',
  GATEHOUSE_DATABASE_URL: 'postgres://gatehouse@db/gatehouse',
  GATEHOUSE_SECRET_KEY: 'correct-horse-battery-staple-2026!',
};

function problems(env: Record<string, string | undefined>): Problem[] {
  const result = loadConfig({ env, configDirectory });
  return result.kind === 'ok' ? [] : result.problems;
}

describe('production', () => {
  it('starts when it is set up soundly, on all addresses and without the demonstration', () => {
    expect(loadConfig({ env: sound, configDirectory })).toMatchObject({
      kind: 'ok',
      config: { env: 'production', listenAddress: '0.0.0.0', demo: false, log: { format: 'json' } },
    });
  });

  it.each<[string, string, Record<string, string | undefined>]>([
    ['production_database_embedded', 'GATEHOUSE_DATABASE_URL', { GATEHOUSE_DATABASE_URL: undefined }],
    ['production_issuer_not_https', 'GATEHOUSE_ISSUER', { GATEHOUSE_ISSUER: undefined }],
    ['production_issuer_not_https', 'GATEHOUSE_ISSUER', { GATEHOUSE_ISSUER: 'http://localhost:3000' }],
    ['invalid_setting', 'GATEHOUSE_ISSUER', { GATEHOUSE_ISSUER: 'http://id.example.com' }],
    ['production_secret_key_missing', 'GATEHOUSE_SECRET_KEY', { GATEHOUSE_SECRET_KEY: undefined }],
    ['invalid_setting', 'GATEHOUSE_SECRET_KEY', { GATEHOUSE_SECRET_KEY: 'x'.repeat(31) }],
    ['production_demo_on', 'GATEHOUSE_DEMO', { GATEHOUSE_DEMO: 'true' }],
    ['production_hashing_weak', 'GATEHOUSE_PASSWORD_MEMORY_KIB', { GATEHOUSE_PASSWORD_MEMORY_KIB: '4096' }],
    ['production_hashing_weak', 'GATEHOUSE_PASSWORD_MEMORY_KIB', { GATEHOUSE_PASSWORD_ITERATIONS: '1' }],
  ])('refuses: %s %s %j', (code, setting, change) => {
    const found = problems({ ...sound, ...change });
    expect(found).toHaveLength(1);
    expect(found[0]?.code).toBe(code);
    // Where a rule measures two settings, the one blamed is named even when the other was changed.
    expect(found[0]?.setting).toBe(setting);
  });

  it('refuses all of it at once, and formats it for a terminal', () => {
    const found = problems({ GATEHOUSE_ENV: 'production', GATEHOUSE_DEMO: 'true' });
    expect(found.map(({ code }) => code)).toEqual([
      'production_database_embedded',
      'production_issuer_not_https',
      'production_secret_key_missing',
      'production_demo_on',
    ]);
    const text = formatProblems(found);
    expect(text).toMatch(/^4 problems with the set-up:\n {2}- GATEHOUSE_DATABASE_URL: is not set/);
    expect(text.split('\n')).toHaveLength(9);
  });

  it.each([
    ['7168 KiB and 5 passes', '7168', '5'],
    ['9216 KiB and 4 passes', '9216', '4'],
    ['12288 KiB and 3 passes', '12288', '3'],
    ['47104 KiB and 1 pass', '47104', '1'],
  ])('takes what OWASP holds equal to the default: %s', (_name, memory, iterations) => {
    expect(
      problems({
        ...sound,
        GATEHOUSE_PASSWORD_MEMORY_KIB: memory,
        GATEHOUSE_PASSWORD_ITERATIONS: iterations,
      }),
    ).toEqual([]);
  });

  it.each<[string[], Record<string, string>]>([
    [['redis_missing', 'trusted_proxies_missing'], {}],
    [['trusted_proxies_missing'], { GATEHOUSE_REDIS_URL: 'redis://cache' }],
    [[], { GATEHOUSE_REDIS_URL: 'redis://cache', GATEHOUSE_TRUSTED_PROXIES: '10.0.0.1' }],
  ])('gives the notices %j with %j', (codes, env) => {
    const result = loadConfig({ env: { ...sound, ...env }, configDirectory });
    if (result.kind !== 'ok') throw new Error('refused');
    expect(productionNotices(result).map(({ code }) => code)).toEqual(codes);
  });
});

describe('development', () => {
  it('starts with nothing configured, and has no notices', () => {
    const result = loadConfig({ env: {}, configDirectory });
    if (result.kind !== 'ok') throw new Error('refused');
    expect(result.config).toMatchObject({ env: 'development', listenAddress: '127.0.0.1', demo: true });
    expect(productionNotices(result)).toEqual([]);
  });
});
