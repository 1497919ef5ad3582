import { createHmac, hash, type KeyObject, randomBytes, randomFillSync, randomUUID } from 'node:crypto';

/** The last one made: within a millisecond the twelve bits behind the time count up (RFC 9562 §6.2, method 1). */
let last = { ms: 0, counter: 0 };

/**
 * A time-ordered identifier (RFC 9562 §5.7), so that primary keys insert at the end of their index, and what one process
 * makes is in the order in which it made it. It tells when: never show one where that is nobody's business (a `sub` is
 * random).
 */
export function uuidv7(now: Date = new Date()): string {
  // Node keeps random bytes in stock for its own; its last 62 bits are taken over with their variant.
  const random = randomUUID();
  const ms = now.getTime();
  // Half of the counter's range is left for what follows in the same millisecond.
  const counter = ms === last.ms ? last.counter + 1 : Number.parseInt(random.slice(0, 3), 16) & 0x07ff;
  last = { ms, counter };
  const time = ms.toString(16).padStart(12, '0');
  const version = (0x7000 | (counter & 0x0fff)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${random.slice(19)}`;
}

/** Random bytes in stock, for asking for a few costs as much as asking for many. What was taken is overwritten. */
const stock = Buffer.alloc(4096);
let taken = stock.length;

/** An unguessable value: `sizeBytes` random bytes, base64url (43 characters for 32 bytes). */
export function randomToken(sizeBytes = 32): string {
  if (sizeBytes > stock.length) return randomBytes(sizeBytes).toString('base64url');
  if (taken + sizeBytes > stock.length) {
    randomFillSync(stock);
    taken = 0;
  }
  const token = stock.toString('base64url', taken, taken + sizeBytes);
  stock.fill(0, taken, taken + sizeBytes);
  taken += sizeBytes;
  return token;
}

/** As `randomToken`, of what operators type: it never begins with -, which a command line takes for an option. */
export function randomId(sizeBytes: number): string {
  const id = randomToken(sizeBytes);
  return id.startsWith('-') ? randomId(sizeBytes) : id;
}

/** SHA-256 of the parts, base64url. Each part is prefixed by its length, so ("ab","c") and ("a","bc") differ. */
export function digest(...parts: string[]): string {
  return hash('sha256', joined(parts), 'base64url');
}

/**
 * HMAC-SHA-256 of the parts, base64url: a digest that nobody without the key can test a guess against.
 *
 * @param key where it is used often, a KeyObject: bytes are made into one at each call, which costs more than the rest
 */
export function keyedDigest(key: Buffer | KeyObject, ...parts: string[]): string {
  return createHmac('sha256', key).update(joined(parts)).digest('base64url');
}

function joined(parts: readonly string[]): string {
  let text = '';
  for (const part of parts) text += `${Buffer.byteLength(part)}:${part}`;
  return text;
}
