/**
 * The sealed copy of a refresh's answer, for the client whose connection broke before it arrived. Sealed with a key
 * that only the bearer of the spent refresh token can derive, so a leaked store holds nothing that works.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

import { digest } from '../platform/ids.ts';
import type { OidcStore } from './store/port.ts';

/** A pending mark of a process that died is taken over after this long. Longer than any commit may take. */
export const LEASE_SECONDS = 15;

/** The refresh that a request won, until its answer is sealed and its record durable. */
export interface WonRefresh {
  refreshToken: string;
  spender: string;
  /** The attempt that died before its record was confirmed; it may have been durable all the same. */
  tookOverFrom?: string;
}

const won = new WeakMap<object, WonRefresh>();

export function rememberRefresh(ctx: { req: object }, refresh: WonRefresh): void {
  won.set(ctx.req, refresh);
}

export function wonRefresh(ctx: { req: object }): WonRefresh | undefined {
  return won.get(ctx.req);
}

/** Where the answer to this spending of the token lies. Another spending has another answer. */
function refreshAnswerKey(refreshToken: string, spender: string): string {
  return digest('refresh answer', refreshToken, spender);
}

/**
 * Before an answer that took a mark over. Whether its own record became durable, or that of the attempt before it, is not
 * to be told from the outside; so nobody who takes over from it in turn may give it out.
 */
const AFTER_TAKEOVER = 'after takeover.';

/**
 * Keeps the sealed answer for whoever presents the token again. A mark whose process died is taken over only when its
 * lease has lapsed, and the answer is wanted then: so it is kept for that much longer than the window.
 */
export async function keepAnswer(
  store: OidcStore,
  { refreshToken, spender, tookOverFrom }: WonRefresh,
  { answer, retryWindowSeconds }: { answer: object; retryWindowSeconds: number },
): Promise<void> {
  const sealed = sealRefreshAnswer(refreshToken, answer);
  await store.putAnswer(
    refreshAnswerKey(refreshToken, spender),
    tookOverFrom === undefined ? sealed : `${AFTER_TAKEOVER}${sealed}`,
    LEASE_SECONDS + retryWindowSeconds,
  );
}

/** The sealed answer of a spending whose mark is final, and whose record is therefore durable. */
export async function findAnswer(
  store: OidcStore,
  { refreshToken, spender }: { refreshToken: string; spender: string },
): Promise<string | undefined> {
  const kept = await store.getAnswer(refreshAnswerKey(refreshToken, spender));
  return kept?.startsWith(AFTER_TAKEOVER) ? kept.slice(AFTER_TAKEOVER.length) : kept;
}

/** The sealed answer of the attempt that was taken over, where PostgreSQL says that its record is durable. */
export async function findInheritedAnswer(
  store: OidcStore,
  { refreshToken, tookOverFrom }: WonRefresh,
): Promise<string | undefined> {
  if (tookOverFrom === undefined) return undefined;
  const kept = await store.getAnswer(refreshAnswerKey(refreshToken, tookOverFrom));
  return kept?.startsWith(AFTER_TAKEOVER) ? undefined : kept;
}

/**
 * The answer of the attempt that was taken over becomes that of who took over, whose own was never recorded.
 *
 * @returns false where there is none
 */
export async function inheritAnswer(
  store: OidcStore,
  refresh: WonRefresh,
  { retryWindowSeconds }: { retryWindowSeconds: number },
): Promise<boolean> {
  const sealed = await findInheritedAnswer(store, refresh);
  if (sealed === undefined) return false;
  await store.putAnswer(
    refreshAnswerKey(refresh.refreshToken, refresh.spender),
    sealed,
    LEASE_SECONDS + retryWindowSeconds,
  );
  return true;
}

function sealRefreshAnswer(refreshToken: string, answer: object): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyFrom(refreshToken), iv);
  const body = Buffer.concat([cipher.update(JSON.stringify(answer)), cipher.final(), cipher.getAuthTag()]);
  return `${iv.toString('base64url')}.${body.toString('base64url')}`;
}

/** Throws where the token is another or the text was altered. */
export function openRefreshAnswer(refreshToken: string, sealed: string): Record<string, unknown> {
  const [iv, text] = sealed.split('.').map((part) => Buffer.from(part, 'base64url'));
  if (!iv || !text) throw new Error('not a sealed answer');
  const decipher = createDecipheriv('aes-256-gcm', keyFrom(refreshToken), iv);
  decipher.setAuthTag(text.subarray(-16));
  const plain = Buffer.concat([decipher.update(text.subarray(0, -16)), decipher.final()]);
  return JSON.parse(plain.toString()) as Record<string, unknown>;
}

function keyFrom(refreshToken: string): Buffer {
  return Buffer.from(hkdfSync('sha256', refreshToken, '', 'gatehouse refresh answer', 32));
}
