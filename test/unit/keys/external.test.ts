import { expect, it } from '@jest/globals';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { createExternalSigner, type ExternalSigner } from '../../../src/keys/external.ts';

/** A signing service that offers this key under that algorithm. */
function offering(key: KeyObject, alg: string): ExternalSigner {
  const keys = [{ ...key.export({ format: 'jwk' }), kid: 'offered', alg }];
  return createExternalSigner({
    url: 'https://signing.example',
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    outgoing: {
      request: async () => ({ status: 200, headers: {}, body: Buffer.from(JSON.stringify({ keys })) }),
      fetch: () => Promise.reject(new Error('not used')),
    },
  });
}

const KEYS = {
  'RSA of 2048 bits': generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
  'RSA of 1024 bits': generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey,
  Ed25519: generateKeyPairSync('ed25519').publicKey,
  X25519: generateKeyPairSync('x25519').publicKey,
};

it.each([
  ['RSA of 2048 bits', 'RS256'],
  ['P-256', 'ES256'],
  ['Ed25519', 'EdDSA'],
] as const)('takes a key of %s for %s', async (kind, alg) => {
  const { kid, publicJwk } = await offering(KEYS[kind], alg).newKey(alg, new Set());
  expect(kid).toBe('offered');
  expect(publicJwk).toMatchObject({ alg, use: 'sig' });
});

it.each([
  ['RSA of 1024 bits', 'RS256'],
  ['P-256', 'RS256'],
  ['P-384', 'ES256'],
  ['RSA of 2048 bits', 'ES256'],
  ['X25519', 'EdDSA'],
] as const)('refuses a key of %s that is offered for %s', async (kind, alg) => {
  await expect(offering(KEYS[kind], alg).newKey(alg, new Set())).rejects.toMatchObject({
    code: 'signing_unavailable',
    cause: { message: `offered is offered for ${alg}, and is no such key` },
  });
});

it('refuses what is no key at all', async () => {
  const signer = createExternalSigner({
    url: 'https://signing.example',
    algorithms: ['ES256'],
    outgoing: {
      request: async () => ({
        status: 200,
        headers: {},
        body: Buffer.from('{"keys":[{"kty":"EC","alg":"ES256","crv":"P-256","x":"!","y":"!"}]}'),
      }),
      fetch: () => Promise.reject(new Error('not used')),
    },
  });
  await expect(signer.newKey('ES256', new Set())).rejects.toMatchObject({ code: 'signing_unavailable' });
});
