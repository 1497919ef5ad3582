import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { documentSettings } from '../../../src/config/document.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { environmentNameOf, settings } from '../../../src/config/settings.ts';
import { isServiceVariable } from '../../../src/config/unknown-variables.ts';

const root = join(import.meta.dirname, '../../..');

function json(name: string): object {
  return JSON.parse(readFileSync(join(root, 'config', name), 'utf8')) as object;
}

/** Groups without a default in them are left out of the file. */
function withoutEmptyGroups(value: object): object {
  return Object.fromEntries(
    Object.entries(value).filter(([, child]) => JSON.stringify(child) !== '{}' && child !== undefined),
  );
}

describe('config/default.json', () => {
  it('holds exactly the defaults of the schema, in its order', () => {
    const { issuer: _derived, ...defaults } = configSchema.parse({ issuer: 'https://id.example.com' });
    expect(JSON.stringify(json('default.json'), null, 2)).toBe(
      JSON.stringify(withoutEmptyGroups(defaults), null, 2),
    );
  });
});

describe('docs/configuration.md', () => {
  it('is what `gatehouse config docs` writes', () => {
    expect(readFileSync(join(root, 'docs/configuration.md'), 'utf8')).toBe(documentSettings());
  });
});

describe('every setting', () => {
  it.each([
    ['database.url', 'GATEHOUSE_DATABASE_URL'],
    ['dataDir', 'GATEHOUSE_DATA_DIR'],
    ['ttl.accessTokenSeconds', 'GATEHOUSE_TTL_ACCESS_TOKEN_SECONDS'],
    ['audit.commitTimeoutMs', 'GATEHOUSE_AUDIT_COMMIT_TIMEOUT_MS'],
    ['port', 'PORT'],
  ])('%s is %s in the environment', (path, name) => {
    expect(environmentNameOf(path)).toBe(name);
    expect(settings.map((setting) => setting.path)).toContain(path);
  });

  it.each(settings.map((setting) => [setting.path, setting] as const))(
    '%s is described',
    (_path, setting) => {
      expect(setting.description).toMatch(/^\S.{10,}[.)]$/s);
      // A line break or an unescaped bar would break the table of the documentation.
      expect(setting.description).not.toMatch(/[\n|]/);
    },
  );

  it('keeps clear of the names that Kubernetes injects, and of other settings’ _FILE', () => {
    const names = settings.map(({ environmentName }) => environmentName).filter((name) => name !== 'PORT');
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) {
      expect(name).toMatch(/^GATEHOUSE_(?!TEST_)[A-Z][A-Z0-9_]*(?<!_PORT|_HOST|_FILE)$/);
      expect(isServiceVariable(name, 'tcp://10.0.0.1:80')).toBe(false);
    }
  });

  it('that holds a secret or a connection URL says so', () => {
    const marked = settings.filter(({ secrecy }) => secrecy !== undefined).map(({ path }) => path);
    expect(marked).toEqual([
      'database.url',
      'redis.url',
      'secretKey',
      'previousSecretKeys',
      'keys.externalToken',
    ]);
  });
});
