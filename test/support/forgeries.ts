/**
 * What passes for a signed token and is none (RFC 8725 §2 and §3): without a signature, under an algorithm of the
 * forger's choice, by a key of the forger's choice. Each is made from a genuine token, so that nothing else is wrong.
 */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';

import type { JWK } from 'jose';

export interface Genuine {
  token: string;
  /** What signed it: RSA with RS256, or P-256 with ES256. Forgers know its public part. */
  privateJwk: JWK;
}

type Header = Record<string, unknown>;
type Forge = (genuine: Genuine) => string;

/** Wrong about the key that the token names itself: where a token brings its key along (DPoP), these prove nothing. */
export const BY_OWN_KEY: Readonly<Record<string, Forge>> = {
  'by a stranger who brings the key along': (it) =>
    byStranger(it, (key) => ({ jwk: key.export({ format: 'jwk' }) })),
  'by a stranger who brings the key along, and no key id': (it) =>
    byStranger(it, (key) => ({ jwk: key.export({ format: 'jwk' }), kid: undefined })),
  'by a stranger with a certificate': (it) =>
    byStranger(it, (key) => ({ x5c: [key.export({ format: 'der', type: 'spki' }).toString('base64')] })),
  'by the right key under another algorithm': (it) => {
    const { header, payload } = partsOf(it.token);
    const alg = it.privateJwk.kty === 'RSA' ? 'RS512' : 'ES512';
    return signedBy(createPrivateKey({ key: it.privateJwk, format: 'jwk' }), { ...header, alg }, payload);
  },
};

export const FORGERIES: Readonly<Record<string, Forge>> = {
  unsigned: (it) => unsigned(it, 'none'),
  'unsigned, spelt its own way': (it) => unsigned(it, 'nOnE'),
  'unsigned, with an algorithm that is no word': (it) => unsigned(it, ['none']),
  'unsigned, without an algorithm': (it) => unsigned(it, undefined),
  'with its signature taken off': ({ token }) => token.replace(/[^.]*$/, ''),
  'with a signature of zeros': ({ token }) =>
    token.replace(/[^.]*$/, (signature) =>
      Buffer.alloc(Buffer.from(signature, 'base64url').length).toString('base64url'),
    ),
  'with the signature of other claims': (it) => {
    const { header, payload, signature } = partsOf(it.token);
    return `${encoded(header)}.${encoded({ ...payload, more: 1 })}.${signature}`;
  },
  'with the public key as a shared secret': (it) =>
    hmac(it, publicKeyOf(it).export({ format: 'pem', type: 'spki' })),
  'with the public key, unwrapped, as a shared secret': (it) =>
    hmac(it, publicKeyOf(it).export({ format: 'der', type: 'spki' })),
  'with the published key as a shared secret': (it) =>
    hmac(it, JSON.stringify(publicKeyOf(it).export({ format: 'jwk' }))),
  'with its longest number as a shared secret': ({ token, privateJwk: { n, x } }) =>
    hmac({ token }, Buffer.from(n ?? x ?? '', 'base64url')),
  'with an empty shared secret': (it) => hmac(it, ''),
  'with an empty shared secret that a key id leads to': (it) => hmac(it, '', { kid: '../../../../dev/null' }),
  'by a stranger under the same key id': (it) => byStranger(it, () => ({})),
  'by a stranger without a key id': (it) => byStranger(it, () => ({ kid: undefined })),
  'by a stranger under a key id of every object': (it) => byStranger(it, () => ({ kid: '__proto__' })),
  'by a stranger under a key id that asks a database': (it) =>
    byStranger(it, () => ({ kid: "x' or '1'='1" })),
  'by a stranger under a key id that is no word': (it) => byStranger(it, () => ({ kid: { toString: null } })),
  'by a stranger who says where the key is': (it) =>
    byStranger(it, () => ({ jku: 'https://evil.example/jwks' })),
  'by a stranger who says where the certificate is': (it) =>
    byStranger(it, () => ({ x5u: 'https://evil.example/certificate' })),
  'by the right key, with a header that has to be understood': (it) => {
    const { header, payload } = partsOf(it.token);
    const key = createPrivateKey({ key: it.privateJwk, format: 'jwk' });
    return signedBy(key, { ...header, crit: ['evil'], evil: true }, payload);
  },
  'in the shape of an encrypted one': ({ token }) => `${token}.x.y`,
};

function partsOf(token: string): { header: Header; payload: object; signature: string } {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const read = (part: string): Header => JSON.parse(Buffer.from(part, 'base64url').toString()) as Header;
  return { header: read(header), payload: read(payload), signature };
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

function publicKeyOf({ privateJwk }: Genuine): KeyObject {
  return createPublicKey({ key: privateJwk, format: 'jwk' });
}

function unsigned({ token }: Genuine, alg: unknown): string {
  const { header, payload } = partsOf(token);
  return `${encoded({ ...header, alg })}.${encoded(payload)}.`;
}

function hmac({ token }: Pick<Genuine, 'token'>, secret: string | Buffer, changes: Header = {}): string {
  const { header, payload } = partsOf(token);
  const input = `${encoded({ ...header, ...changes, alg: 'HS256' })}.${encoded(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

const strangers = new Map<string, ReturnType<typeof keyPair>>();

function keyPair(kty: string): { publicKey: KeyObject; privateKey: KeyObject } {
  return kty === 'RSA'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** Of the same kind as the right key, but nobody knows it here. */
function byStranger({ token, privateJwk }: Genuine, changes: (key: KeyObject) => Header): string {
  const kty = String(privateJwk.kty);
  const pair = strangers.get(kty) ?? keyPair(kty);
  strangers.set(kty, pair);
  const { header, payload } = partsOf(token);
  return signedBy(pair.privateKey, { ...header, ...changes(pair.publicKey) }, payload);
}

function signedBy(key: KeyObject, header: Header, payload: object): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  const hash = String(header['alg']).endsWith('512') ? 'sha512' : 'sha256';
  return `${input}.${sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
