import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { describeConfig, formatDescription, maskUrl } from '../../../src/config/describe.ts';
import { loadConfig, type Draft } from '../../../src/config/load.ts';
import { settings } from '../../../src/config/settings.ts';

const configDirectory = join(import.meta.dirname, '../../../config');

function load(env: Record<string, string>): Draft {
  const result = loadConfig({ env, configDirectory });
  if (result.kind !== 'ok') throw new Error(JSON.stringify(result.problems));
  return result;
}

const secret = 'hunter2-hunter2-hunter2-hunter2-hunter2';

describe('the effective configuration', () => {
  const described = describeConfig(
    load({
      PORT: '4000',
      GATEHOUSE_SECRET_KEY: secret,
      GATEHOUSE_PREVIOUS_SECRET_KEYS: `${secret}1,${secret}2`,
      GATEHOUSE_DATABASE_URL: 'postgres://gatehouse:hunter2@db/gatehouse',
      GATEHOUSE_REDIS_URL: 'redis://:hunter2@cache:6379',
    }),
  );

  it.each([
    ['port', 4000, 'PORT'],
    ['issuer', 'http://localhost:4000', 'derived'],
    ['ttl.parSeconds', 60, 'default'],
    ['log.format', 'pretty', 'config/development.json'],
    ['metrics.listen', undefined, 'not set'],
    ['secretKey', '********', 'GATEHOUSE_SECRET_KEY'],
    ['previousSecretKeys', ['********', '********'], 'GATEHOUSE_PREVIOUS_SECRET_KEYS'],
    ['database.url', 'postgres://gatehouse:********@db/gatehouse', 'GATEHOUSE_DATABASE_URL'],
    ['redis.url', 'redis://:********@cache:6379', 'GATEHOUSE_REDIS_URL'],
  ])('shows %s as %j from %s', (path, value, origin) => {
    const found = described.find((setting) => setting.path === path);
    expect([found?.value, found?.origin]).toEqual([value, origin]);
  });

  it('has a line for every setting and no secret in any', () => {
    const text = formatDescription(described);
    expect(text.split('\n')).toHaveLength(settings.length);
    expect(text).not.toContain('hunter2');
    expect(text).toMatch(/^port +4000 +\(PORT\)$/m);
  });
});

describe('a masked URL', () => {
  it.each([
    ['postgres://u:hunter2@h/d', 'postgres://u:********@h/d'],
    ['postgres://h/d?user=u&password=hunter2', 'postgres://h/d?user=u&password=********'],
    ['postgres://h/d?sslpassword=hunter2&sslpassword=hunter2', 'postgres://h/d?sslpassword=********'],
    ['redis://u@h/1', 'redis://u@h/1'],
    ['hunter2', '********'],
  ])('%s is shown as %s', (url, shown) => {
    expect(maskUrl(url)).toBe(shown);
  });
});
