import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

/**
 * Sealing of secrets at rest: AES-256-GCM, `v1.<key id>.<iv>.<ciphertext and tag>`, base64url.
 * The context ("totp:<account id>") is authenticated, so a sealed value copied to another row does not open.
 */
export interface Sealer {
  seal: (plaintext: string | Uint8Array, context: string) => string;
  /** Throws where no key fits, the context differs or the text was altered. */
  open: (sealed: string, context: string) => Buffer;
  /** The key that seals now; values sealed by another are due for resealing. */
  currentKeyId: string;
  keyIdOf: (sealed: string) => string;
  /** Whether values sealed by that key open. */
  knows: (keyId: string) => boolean;
  /** A 32-byte key for one purpose, derived from the current key (RFC 5869). */
  deriveKey: (purpose: string) => Buffer;
  /** The same from every configured key, the current one first: for what an older key signed. */
  deriveKeys: (purpose: string) => Buffer[];
}

export interface SealingKey {
  id: string;
  key: Buffer;
}

/** Turns a configured secret of any form (at least 32 characters) into a key and its short public id. */
export function sealingKeyFrom(secret: string): SealingKey {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'gatehouse sealing key', 32));
  return { id: createHash('sha256').update('id').update(key).digest('base64url').slice(0, 8), key };
}

/** @param keys the first seals, every one opens: rotation is putting a new key in front. */
export function createSealer(keys: readonly SealingKey[]): Sealer {
  const current = keys[0];
  if (!current) throw new Error('a sealer needs at least one key');
  // Bytes would be made into a key object at each call.
  const byId = new Map<string, KeyObject>(keys.map(({ id, key }) => [id, createSecretKey(key)]));
  const sealing = createSecretKey(current.key);

  return {
    currentKeyId: current.id,
    keyIdOf: (sealed) => parse(sealed).keyId,
    knows: (keyId) => byId.has(keyId),
    deriveKey: (purpose) => deriveFrom(current.key, purpose),
    deriveKeys: (purpose) => keys.map(({ key }) => deriveFrom(key, purpose)),
    seal: (plaintext, context) => {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', sealing, iv).setAAD(Buffer.from(context));
      const body = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
      return `v1.${current.id}.${iv.toString('base64url')}.${body.toString('base64url')}`;
    },
    open: (sealed, context) => {
      const { keyId, iv, body } = parse(sealed);
      const key = byId.get(keyId);
      if (!key) throw new Error(`sealed with key ${keyId}, which is not among the configured secret keys`);
      const decipher = createDecipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
      decipher.setAuthTag(body.subarray(-16));
      return Buffer.concat([decipher.update(body.subarray(0, -16)), decipher.final()]);
    },
  };
}

function parse(sealed: string): { keyId: string; iv: Buffer; body: Buffer } {
  const [version, keyId, iv, body, ...rest] = sealed.split('.');
  if (version !== 'v1' || !keyId || !iv || !body || rest.length > 0) throw new Error('not a sealed value');
  return { keyId, iv: Buffer.from(iv, 'base64url'), body: Buffer.from(body, 'base64url') };
}

function deriveFrom(key: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', `gatehouse ${purpose}`, 32));
}
