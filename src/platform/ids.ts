import { createHash, createHmac, randomBytes } from 'node:crypto';

/** The last one made: within a millisecond the twelve bits behind the time count up (RFC 9562 §6.2, method 1). */
let last = { ms: 0, counter: 0 };

/**
 * A time-ordered identifier (RFC 9562 §5.7), so that primary keys insert at the end of their index, and what one process
 * makes is in the order in which it made it. It tells when: never show one where that is nobody's business (a `sub` is
 * random).
 */
export function uuidv7(now: Date = new Date()): string {
  const bytes = randomBytes(16);
  const ms = now.getTime();
  // Half of the counter's range is left for what follows in the same millisecond.
  const counter = ms === last.ms ? last.counter + 1 : bytes.readUInt16BE(6) & 0x07ff;
  last = { ms, counter };
  bytes.writeUIntBE(ms, 0, 6);
  bytes.writeUInt16BE(0x7000 | (counter & 0x0fff), 6);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** An unguessable value: `sizeBytes` random bytes, base64url (43 characters for 32 bytes). */
export function randomToken(sizeBytes = 32): string {
  return randomBytes(sizeBytes).toString('base64url');
}

/** SHA-256 of the parts, base64url. Each part is prefixed by its length, so ("ab","c") and ("a","bc") differ. */
export function digest(...parts: string[]): string {
  return absorb(createHash('sha256'), parts).digest('base64url');
}

/** HMAC-SHA-256 of the parts, base64url: a digest that nobody without the key can test a guess against. */
export function keyedDigest(key: Buffer, ...parts: string[]): string {
  return absorb(createHmac('sha256', key), parts).digest('base64url');
}

function absorb<H extends { update: (data: string) => unknown }>(hash: H, parts: string[]): H {
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash;
}
