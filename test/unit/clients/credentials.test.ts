import { describe, expect, it } from '@jest/globals';

import { checkJwks } from '../../../src/clients/jwks.ts';
import { checkRolesClaim, rolesClaimPath } from '../../../src/clients/roles-claim.ts';
import {
  checkImportedSecret,
  generateSecret,
  hashSecret,
  liveSecrets,
  verifySecret,
} from '../../../src/clients/secrets.ts';
import { generateSigningKey } from '../../../src/keys/generate.ts';

const NOW = new Date('2026-06-01T12:00:00Z');
const at = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1_000);

describe('client secrets', () => {
  it('are 256 random bits that need no encoding', () => {
    const secrets = new Set(Array.from({ length: 100 }, generateSecret));
    expect(secrets.size).toBe(100);
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{43}$/);
  });

  it('are stored as a hash that differs for the same secret', () => {
    const [one, other] = [hashSecret('same', NOW), hashSecret('same', NOW)];
    expect(one.hash).not.toEqual(other.hash);
    expect(JSON.stringify(one)).not.toContain('same');
  });

  it('match any live one, and nothing else', () => {
    const secrets = [
      { ...hashSecret('expired', NOW), expiresAt: NOW },
      { ...hashSecret('ending', NOW), expiresAt: at(60) },
      hashSecret('lasting', NOW),
    ];
    const presented = ['expired', 'ending', 'lasting', 'other', '', 'lasting ', 'x'.repeat(100_000)];
    const accepted = (now: Date): string[] =>
      presented.filter((secret) => verifySecret({ secrets }, secret, now));
    expect(accepted(NOW)).toEqual(['ending', 'lasting']);
    expect(accepted(at(59))).toEqual(['ending', 'lasting']);
    expect(accepted(at(60))).toEqual(['lasting']);
    expect(liveSecrets({ secrets }, at(60))).toEqual([secrets[2]]);
    expect(verifySecret({ secrets: [] }, 'anything', NOW)).toBe(false);
  });

  it.each([
    ['of Keycloak', 'kT2pYx9Qw4Ls7Zb1Nv8Rc3Md6Hg5Jf0A'],
    ['generated here', generateSecret()],
  ])('may be imported: %s', (_, secret) => {
    expect(() => checkImportedSecret(secret)).not.toThrow();
  });

  it.each([
    'secret',
    'correct horse battery staple',
    'a'.repeat(64),
    'abcabcabcabcabcabcabcabcabc',
    'ä'.repeat(40),
  ])('that can be guessed are not imported: %s', (secret) => {
    expect(() => checkImportedSecret(secret)).toThrow(/leave it out and one is generated/);
  });
});

describe('the keys of a client', () => {
  it.each(['RS256', 'ES256', 'EdDSA'] as const)('may be for %s', async (alg) => {
    const { publicJwk } = await generateSigningKey(alg);
    expect(() => checkJwks({ keys: [{ ...publicJwk }] })).not.toThrow();
  });

  it.each(['RS256', 'ES256', 'EdDSA'] as const)('are refused with their private parts (%s)', async (alg) => {
    const { privateJwk } = await generateSigningKey(alg);
    expect(() => checkJwks({ keys: [{ ...privateJwk }] })).toThrow(/private member/);
  });

  const rsa = (bytes: number, first = 0xff): Record<string, unknown> => {
    const modulus = Buffer.alloc(bytes, 0xff);
    modulus[0] = first;
    return { kty: 'RSA', e: 'AQAB', n: modulus.toString('base64url') };
  };
  it.each<[string, unknown, RegExp]>([
    ['no list', {}, /"keys"/],
    ['no key', { keys: [] }, /no key/],
    ['a shared secret', { keys: [{ kty: 'oct', k: 'AAAA' }] }, /private member "k"/],
    ['a symmetric type', { keys: [{ kty: 'oct' }] }, /RSA, EC or OKP/],
    ['a type from the prototype', { keys: [{ kty: 'constructor' }] }, /RSA, EC or OKP/],
    ['a short RSA key', { keys: [rsa(128)] }, /2048 bits/],
    ['an RSA key of 2047 bits', { keys: [rsa(256, 0x7f)] }, /2048 bits/],
    ['an RSA key without a modulus', { keys: [{ kty: 'RSA', e: 'AQAB' }] }, /lacks/],
    ['an HMAC algorithm', { keys: [{ ...rsa(256), alg: 'HS256' }] }, /"alg"/],
    ['a key for something else', { keys: [{ ...rsa(256), use: 'tls' }] }, /"use"/],
    ['an encryption key that signs', { keys: [{ ...rsa(256), use: 'enc', alg: 'RS256' }] }, /"alg"/],
    ['a signing key that is encrypted to', { keys: [{ ...rsa(256), alg: 'RSA-OAEP-256' }] }, /"alg"/],
    ['an algorithm that is broken', { keys: [{ ...rsa(256), use: 'enc', alg: 'RSA1_5' }] }, /"alg"/],
    ['a short RSA key to encrypt to', { keys: [{ ...rsa(128), use: 'enc' }] }, /2048 bits/],
    [
      'a signing curve to encrypt to',
      { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA', use: 'enc' }] },
      /"crv" X25519/,
    ],
    ['an unknown curve', { keys: [{ kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA' }] }, /"crv"/],
    ['a key-agreement curve', { keys: [{ kty: 'OKP', crv: 'X25519', x: 'AA' }] }, /"crv"/],
    [
      'one id twice',
      {
        keys: [
          { ...rsa(256), kid: 'a' },
          { ...rsa(256), kid: 'a' },
        ],
      },
      /"kid"/,
    ],
    ['too many', { keys: Array.from({ length: 21 }, () => rsa(256)) }, /more than 20/],
  ])('are refused: %s', (_, jwks, advice) => {
    expect(() => checkJwks(jwks as never)).toThrow(advice);
  });
});

describe('the roles claim', () => {
  it.each([
    ['groups', ['groups']],
    ['realm_access.roles', ['realm_access', 'roles']],
    ['https://app.example/roles', ['https://app.example/roles']],
    ['urn:example:roles.v1', ['urn:example:roles.v1']],
  ])('%s is found at %j', (name, path) => {
    expect(rolesClaimPath(name)).toEqual(path);
    expect(() => checkRolesClaim({ name, prefix: 'wiki:' })).not.toThrow();
  });

  it.each([
    '',
    'a b',
    'aud',
    'email_verified',
    'sub.roles',
    'a..b',
    '.roles',
    'constructor',
    'x.__proto__',
    'rôles',
  ])('may not be %j', (name) => {
    expect(() => checkRolesClaim({ name })).toThrow(/refused/);
  });
});
