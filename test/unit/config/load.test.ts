import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { loadConfig, type LoadResult } from '../../../src/config/load.ts';
import type { Problem } from '../../../src/config/problem.ts';
import type { Config } from '../../../src/config/schema.ts';

let folder: string;
let configDirectory: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
  configDirectory = join(folder, 'config');
  mkdirSync(configDirectory);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function load(env: Record<string, string | undefined>): LoadResult {
  return loadConfig({ env, configDirectory });
}

function accepted(env: Record<string, string | undefined>): Config {
  const result = load(env);
  if (result.kind === 'problems') throw new Error(JSON.stringify(result.problems));
  return result.config;
}

function refused(env: Record<string, string | undefined>): Problem[] {
  const result = load(env);
  if (result.kind === 'ok') throw new Error('accepted');
  return result.problems;
}

const longSecret = 'correct-horse-battery-staple-2026!';

describe('precedence', () => {
  it('goes default.json, the profile’s file, the variable', () => {
    file(
      'config/default.json',
      '{ "ttl": { "parSeconds": 51, "idTokenSeconds": 62 }, "mfa": { "recoveryCodes": 6 } }',
    );
    file('config/development.json', '{ "ttl": { "idTokenSeconds": 63 }, "mfa": { "recoveryCodes": 7 } }');
    const result = load({ GATEHOUSE_MFA_RECOVERY_CODES: '8' });

    expect(result).toMatchObject({
      kind: 'ok',
      config: {
        ttl: { parSeconds: 51, idTokenSeconds: 63, accessTokenSeconds: 600 },
        mfa: { recoveryCodes: 8 },
      },
      origins: {
        'ttl.parSeconds': { kind: 'file', file: 'config/default.json' },
        'ttl.idTokenSeconds': { kind: 'file', file: 'config/development.json' },
        'mfa.recoveryCodes': { kind: 'environment', name: 'GATEHOUSE_MFA_RECOVERY_CODES' },
        'ttl.accessTokenSeconds': { kind: 'default' },
        'database.url': { kind: 'unset' },
      },
    });
  });

  it('reads the file of the chosen profile only', () => {
    file('config/development.json', '{ "dataDir": "/development" }');
    file('config/test.json', '{ "dataDir": "/test" }');
    expect(accepted({ GATEHOUSE_ENV: 'test' })).toMatchObject({ env: 'test', dataDir: '/test' });
  });

  it('takes a value from the file that a _FILE variable names, without the white space around it', () => {
    const path = file('key', `  ${longSecret}\n\n`);
    const result = load({ GATEHOUSE_SECRET_KEY_FILE: path });
    expect(result).toMatchObject({
      config: { secretKey: longSecret },
      origins: { secretKey: { kind: 'environment-file', name: 'GATEHOUSE_SECRET_KEY_FILE', file: path } },
    });
  });

  it('takes an empty variable as not given', () => {
    expect(accepted({ GATEHOUSE_REDIS_URL: '', GATEHOUSE_DATABASE_URL_FILE: '', PORT: '' })).toMatchObject({
      port: 3000,
      redis: { keyPrefix: 'gatehouse' },
    });
  });
});

describe('values from the environment', () => {
  it.each<[Record<string, string>, object]>([
    [{ PORT: '8080' }, { port: 8080 }],
    [{ GATEHOUSE_DATABASE_MAX_CONNECTIONS: '25' }, { database: { maxConnections: 25 } }],
    [{ GATEHOUSE_MFA_REQUIRED: 'true' }, { mfa: { required: true } }],
    [{ GATEHOUSE_MFA_REQUIRED: 'Yes' }, { mfa: { required: true } }],
    [{ GATEHOUSE_DEMO: '0' }, { demo: false }],
    [{ GATEHOUSE_DEMO: 'off' }, { demo: false }],
    [{ GATEHOUSE_LOG_LEVEL: 'debug' }, { log: { level: 'debug' } }],
    [{ GATEHOUSE_TRUSTED_PROXIES: '10.0.0.0/8, ::1 ,' }, { trustedProxies: ['10.0.0.0/8', '::1'] }],
    [{ GATEHOUSE_METRICS_LISTEN: '[::1]:9464' }, { metrics: { listen: '[::1]:9464' } }],
    [{ GATEHOUSE_REDIS_URL: 'rediss://:p@cache:6379/1' }, { redis: { url: 'rediss://:p@cache:6379/1' } }],
    [{ GATEHOUSE_DATABASE_URL: 'postgresql://u@h/d' }, { database: { url: 'postgresql://u@h/d' } }],
    [{ GATEHOUSE_BRANDING_NAME: 'Änne & Co' }, { branding: { name: 'Änne & Co' } }],
  ])('%j is read as %j', (env, expected) => {
    expect(accepted(env)).toMatchObject(expected);
  });

  it('reads a list from a file by lines', () => {
    const path = file('old-keys', `${longSecret}1\n${longSecret}2\n`);
    expect(accepted({ GATEHOUSE_PREVIOUS_SECRET_KEYS_FILE: path }).previousSecretKeys).toEqual([
      `${longSecret}1`,
      `${longSecret}2`,
    ]);
  });

  it.each<[Record<string, string>, string, RegExp]>([
    [{ PORT: 'http' }, 'PORT', /must be a whole number, not "http"/],
    [{ PORT: '0' }, 'PORT', /must be at least 1, not 0/],
    [{ PORT: '65536' }, 'PORT', /must be at most 65535/],
    [{ PORT: '3e3' }, 'PORT', /whole number/],
    [{ GATEHOUSE_ENV: 'prod' }, 'GATEHOUSE_ENV', /must be one of development, production, test, not "prod"/],
    [{ GATEHOUSE_DEMO: 'maybe' }, 'GATEHOUSE_DEMO', /must be true or false, not "maybe"/],
    [{ GATEHOUSE_LOG_LEVEL: 'verbose' }, 'GATEHOUSE_LOG_LEVEL', /must be one of trace, .*silent/],
    [{ GATEHOUSE_TRUSTED_PROXIES: '10.0.0.0/8,proxy' }, 'GATEHOUSE_TRUSTED_PROXIES', /"proxy" is neither/],
    [
      { GATEHOUSE_TRUSTED_PROXIES: '10.0.0.0/33' },
      'GATEHOUSE_TRUSTED_PROXIES',
      /"10\.0\.0\.0\/33" is neither/,
    ],
    [{ GATEHOUSE_TRUSTED_PROXIES: '10.0.0.0/' }, 'GATEHOUSE_TRUSTED_PROXIES', /is neither/],
    [{ GATEHOUSE_METRICS_LISTEN: '9464' }, 'GATEHOUSE_METRICS_LISTEN', /must be address:port/],
    [{ GATEHOUSE_METRICS_LISTEN: '127.0.0.1:99999' }, 'GATEHOUSE_METRICS_LISTEN', /must be address:port/],
    [{ GATEHOUSE_LISTEN_ADDRESS: 'eth0' }, 'GATEHOUSE_LISTEN_ADDRESS', /must be an IP address/],
    [{ GATEHOUSE_DATABASE_URL: 'mysql://h/d' }, 'GATEHOUSE_DATABASE_URL', /must begin with postgres:/],
    [{ GATEHOUSE_REDIS_URL: 'localhost' }, 'GATEHOUSE_REDIS_URL', /is not a URL/],
    [{ GATEHOUSE_REDIS_KEY_PREFIX: 'a{b}' }, 'GATEHOUSE_REDIS_KEY_PREFIX', /letters, digits/],
    [{ GATEHOUSE_MFA_ISSUER_NAME: 'a:b' }, 'GATEHOUSE_MFA_ISSUER_NAME', /no colon/],
    [{ GATEHOUSE_SECRET_KEY: 'short' }, 'GATEHOUSE_SECRET_KEY', /at least 32 characters/],
    [
      { GATEHOUSE_REGISTRATION_DOCUMENT_HOSTS: 'app.example,https://b.example' },
      'GATEHOUSE_REGISTRATION_DOCUMENT_HOSTS',
      /"https:\/\/b\.example" is none/,
    ],
    [
      { GATEHOUSE_REGISTRATION_OPEN_REDIRECT_HOSTS: 'app.example/path' },
      'GATEHOUSE_REGISTRATION_OPEN_REDIRECT_HOSTS',
      /"app\.example\/path" is none/,
    ],
    [
      { GATEHOUSE_BRANDING_TERMS_URL: 'javascript:alert(1)' },
      'GATEHOUSE_BRANDING_TERMS_URL',
      /must begin with https/,
    ],
    [
      { GATEHOUSE_THROTTLE_BASE_DELAY_SECONDS: '901' },
      'GATEHOUSE_THROTTLE_BASE_DELAY_SECONDS',
      /longest wait, 900 s/,
    ],
    [
      { GATEHOUSE_TTL_SESSION_SECONDS: '3600' },
      'GATEHOUSE_TTL_SESSION_IDLE_SECONDS',
      /after which a session ends/,
    ],
    [
      { GATEHOUSE_TTL_REFRESH_TOKEN_ABSOLUTE_SECONDS: '60' },
      'GATEHOUSE_TTL_REFRESH_TOKEN_IDLE_SECONDS',
      /a refresh token ends anyway/,
    ],
    [
      { GATEHOUSE_PASSWORD_MEMORY_KIB: '64', GATEHOUSE_PASSWORD_PARALLELISM: '9' },
      'GATEHOUSE_PASSWORD_MEMORY_KIB',
      /less than argon2 needs/,
    ],
  ])('%j is refused', (env, setting, message) => {
    const problems = refused(env);
    expect(problems).toEqual([expect.objectContaining({ setting, message: expect.stringMatching(message) })]);
    expect(problems[0]?.remedy).not.toBe('');
  });

  it('names the settings that one is measured by as they are written: in the environment', () => {
    expect(refused({ GATEHOUSE_REGISTRATION_OPEN: 'true' })).toMatchObject([
      { remedy: 'Set GATEHOUSE_REGISTRATION_ENABLED too, or turn it off.' },
    ]);
    expect(refused({ GATEHOUSE_MTLS_HEADER: 'x-client-certificate' })).toMatchObject([
      { remedy: 'List in GATEHOUSE_TRUSTED_PROXIES the proxies that write it.' },
    ]);
  });

  it('refuses a setting given both directly and by file', () => {
    const path = file('key', longSecret);
    expect(refused({ GATEHOUSE_SECRET_KEY: longSecret, GATEHOUSE_SECRET_KEY_FILE: path })).toMatchObject([
      { code: 'set_twice', setting: 'GATEHOUSE_SECRET_KEY' },
    ]);
  });

  it.each([
    ['absent', (): string => join(folder, 'nowhere'), /cannot be read \(ENOENT\)/],
    ['a folder', (): string => folder, /cannot be read \(EISDIR\)/],
    ['empty', (): string => file('empty', ' \n'), /is empty/],
  ])('refuses a _FILE that is %s', (_case, path, message) => {
    expect(refused({ GATEHOUSE_SECRET_KEY_FILE: path() })).toMatchObject([
      { setting: 'GATEHOUSE_SECRET_KEY_FILE', message: expect.stringMatching(message) },
    ]);
  });

  it('never repeats a secret in a problem', () => {
    const problems = refused({
      GATEHOUSE_SECRET_KEY: 'hunter2',
      GATEHOUSE_PREVIOUS_SECRET_KEYS: 'hunter2',
      GATEHOUSE_DATABASE_URL: 'mysql://u:hunter2@h/d',
      GATEHOUSE_REDIS_URL: 'hunter2',
      GATEHOUSE_SECRT_KEY: 'hunter2',
    });
    expect(problems).toHaveLength(5);
    expect(JSON.stringify(problems)).not.toContain('hunter2');
  });
});

describe('the issuer', () => {
  it('follows the port when it is not given', () => {
    expect(load({ PORT: '4000' })).toMatchObject({
      config: { issuer: 'http://localhost:4000' },
      origins: { issuer: { kind: 'derived' } },
    });
  });

  it.each([
    'https://id.example.com',
    'https://id.example.com:8443',
    'https://example.com/identity/eu',
    'http://localhost:3000',
    'http://id.localhost:3000',
    'http://127.0.0.1:3000/path',
    'http://[::1]:3000',
  ])('may be %s', (issuer) => {
    expect(accepted({ GATEHOUSE_ISSUER: issuer }).issuer).toBe(issuer);
  });

  it.each([
    ['id.example.com', /is not a URL/],
    ['ftp://id.example.com', /must begin with https/],
    ['https://id.example.com/', /must not end with a slash/],
    ['https://id.example.com/eu/', /must not end with a slash/],
    ['https://id.example.com?a=b', /neither a query nor a fragment/],
    ['https://id.example.com?', /neither a query nor a fragment/],
    ['https://id.example.com#', /neither a query nor a fragment/],
    ['https://me:pw@id.example.com', /user name or password/],
    ['https://ID.example.com', /plain form, https:\/\/id\.example\.com/],
    ['https://id.example.com:443', /plain form, https:\/\/id\.example\.com/],
    ['https://id.example.com/a/../b', /plain form, https:\/\/id\.example\.com\/b/],
    ['http://id.example.com', /must be https/],
    ['http://localhost.example.com', /must be https/],
    ['http://127.0.0.1.example.com', /must be https/],
    ['http://10.0.0.1', /must be https/],
  ])('must not be %s', (issuer, message) => {
    expect(refused({ GATEHOUSE_ISSUER: issuer })).toMatchObject([
      { setting: 'GATEHOUSE_ISSUER', message: expect.stringMatching(message) },
    ]);
  });
});

describe('unknown names', () => {
  it.each([
    ['GATEHOUSE_ISSUR', 'Did you mean GATEHOUSE_ISSUER?'],
    ['GATEHOUSE_DATABASE_URI', 'Did you mean GATEHOUSE_DATABASE_URL?'],
    ['GATEHOUSE_SECRETKEY_FILE', 'Did you mean GATEHOUSE_SECRET_KEY_FILE?'],
    ['GATEHOUSE_PORT', 'Did you mean PORT?'],
    ['GATEHOUSE_ENTIRELY_UNRELATED', 'Remove it; docs/configuration.md lists every setting.'],
  ])('%s: %s', (name, remedy) => {
    expect(refused({ [name]: '1' })).toEqual([
      { code: 'unknown_setting', setting: name, message: 'there is no such setting.', remedy },
    ]);
  });

  it('leaves alone what Kubernetes injects, what tests use and what is not ours', () => {
    const config = accepted({
      GATEHOUSE_SERVICE_HOST: '10.96.0.7',
      GATEHOUSE_SERVICE_PORT: '80',
      GATEHOUSE_SERVICE_PORT_HTTP: '80',
      GATEHOUSE_PORT: 'tcp://10.96.0.7:80',
      GATEHOUSE_PORT_80_TCP: 'tcp://10.96.0.7:80',
      GATEHOUSE_PORT_80_TCP_ADDR: '10.96.0.7',
      GATEHOUSE_PORT_80_TCP_PORT: '80',
      GATEHOUSE_PORT_80_TCP_PROTO: 'tcp',
      GATEHOUSE_POSTGRES_SERVICE_HOST: '10.96.0.8',
      GATEHOUSE_POSTGRES_PORT: 'tcp://10.96.0.8:5432',
      GATEHOUSE_POSTGRES_PORT_5432_TCP_ADDR: '10.96.0.8',
      GATEHOUSE_TEST_DATABASE_URL: 'postgres://localhost/x',
      PATH: '/usr/bin',
    });
    expect(config.port).toBe(3000);
  });

  it.each([
    [
      '{ "ttl": { "accessTokenSecond": 5 } }',
      'ttl.accessTokenSecond',
      /Did you mean ttl\.accessTokenSeconds/,
    ],
    ['{ "env": "production" }', 'env', /set GATEHOUSE_ENV/],
    ['{ "ttl": 5 }', 'ttl', /docs\/configuration\.md/],
    ['{ "__proto__": { "demo": true } }', '__proto__.demo', /./],
  ])('in a file, %s is refused', (content, path, remedy) => {
    file('config/development.json', content);
    expect(refused({})).toMatchObject([
      {
        code: 'unknown_setting',
        setting: `${path} in config/development.json`,
        remedy: expect.stringMatching(remedy),
      },
    ]);
  });
});

describe('files', () => {
  it.each([
    ['{ "secretKey": "hunter2", }', /not a valid JSON/],
    ['"hunter2"', /does not hold an object/],
    ['[]', /does not hold an object/],
    ['', /not a valid JSON/],
  ])('%j is refused without quoting it', (content, message) => {
    file('config/default.json', content);
    const problems = refused({});
    expect(problems).toMatchObject([
      { code: 'invalid_json', setting: 'config/default.json', message: expect.stringMatching(message) },
    ]);
    expect(JSON.stringify(problems)).not.toContain('hunter2');
  });

  it('names the wrong value of a file by its path', () => {
    file('config/development.json', '{ "port": "3000", "trustedProxies": "10.0.0.1", "demo": null }');
    expect(refused({})).toMatchObject([
      { setting: 'port in config/development.json', message: 'must be a whole number, not "3000".' },
      {
        setting: 'trustedProxies in config/development.json',
        message: 'must be a list of texts, not "10.0.0.1".',
      },
      { setting: 'demo in config/development.json', message: 'must be true or false, not null.' },
    ]);
  });

  it('says that one cannot be read', () => {
    mkdirSync(join(configDirectory, 'default.json'));
    expect(refused({})).toMatchObject([
      { code: 'unreadable_file', setting: 'config/default.json', message: 'cannot be read (EISDIR).' },
    ]);
  });
});

describe('the result', () => {
  it('reports every problem at once, those of production too', () => {
    file('config/production.json', '{ "mfa": { "recoveryCodes": 0 } }');
    const problems = refused({
      GATEHOUSE_ENV: 'production',
      GATEHOUSE_SECRET_KEY: 'short',
      GATEHOUSE_LOG_LEVL: 'info',
      PORT: 'x',
    });
    expect(problems.map(({ setting }) => setting)).toEqual([
      'PORT',
      'GATEHOUSE_SECRET_KEY',
      'mfa.recoveryCodes in config/production.json',
      'GATEHOUSE_LOG_LEVL',
      'GATEHOUSE_DATABASE_URL',
      'GATEHOUSE_ISSUER',
    ]);
  });

  it('offers a draft only where every value could be read', () => {
    expect(load({ GATEHOUSE_ENV: 'production' })).toHaveProperty('draft.config.env', 'production');
    expect(load({ GATEHOUSE_ENV: 'production', PORT: 'x' })).not.toHaveProperty('draft');
  });

  it('is frozen all the way down', () => {
    const config = accepted({ GATEHOUSE_TRUSTED_PROXIES: '10.0.0.1' });
    expect(() => Object.assign(config.ttl, { parSeconds: 1 })).toThrow(TypeError);
    expect(() => (config.trustedProxies as string[]).push('0.0.0.0/0')).toThrow(TypeError);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('does not share defaults between two loads', () => {
    expect(accepted({}).previousSecretKeys).not.toBe(accepted({}).previousSecretKeys);
  });
});
