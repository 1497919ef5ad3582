/**
 * The sealed copy of a refresh's answer, for the client whose connection broke before it arrived. Sealed with a key
 * that only the bearer of the spent refresh token can derive, so a leaked store holds nothing that works.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hash,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

import type { UnitOfWork } from '../audit/unit-of-work.ts';
import { digest } from '../platform/ids.ts';
import type { OidcStore } from './store/port.ts';

/** A pending mark of a process that died is taken over after this long. Longer than any commit may take. */
export const LEASE_SECONDS = 15;

/** The refresh that a request won, until its answer is sealed and its record durable. */
export interface WonRefresh {
  refreshToken: string;
  /** This attempt, in the store and in PostgreSQL. */
  spender: string;
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
 * Keeps the sealed answer for whoever presents the token again with the same question: for the same API, and the same
 * scope. A mark whose process died is taken over only when its lease has lapsed, and the answer is wanted then: so it is
 * kept for that much longer than the window.
 */
export async function keepAnswer(
  store: OidcStore,
  { refreshToken, spender }: WonRefresh,
  { answer, question, retryWindowSeconds }: KeptAnswer,
): Promise<void> {
  await store.putAnswer(
    refreshAnswerKey(refreshToken, spender),
    sealRefreshAnswer(refreshToken, { answer, question }),
    LEASE_SECONDS + retryWindowSeconds,
  );
}

interface KeptAnswer {
  answer: object;
  question?: string | undefined;
  retryWindowSeconds: number;
}

/** The same, along with what else the request writes. */
export function stageAnswer(
  unit: UnitOfWork,
  refresh: WonRefresh,
  { store, ...kept }: KeptAnswer & { store: OidcStore },
): void {
  unit.stage({
    write: () => keepAnswer(store, refresh, kept),
    // A copy whose record never became durable is under a key that no later attempt asks for.
    undo: async () => {},
  });
}

/**
 * The sealed answer of one attempt. Only that of an attempt whose record is durable may be given out: its mark is final,
 * or PostgreSQL named it in a conflict.
 */
export async function findAnswer(
  store: OidcStore,
  { refreshToken, spender }: WonRefresh,
): Promise<string | undefined> {
  return store.getAnswer(refreshAnswerKey(refreshToken, spender));
}

/**
 * The answer of the attempt that counted becomes that of who met its spending in PostgreSQL, and whose own was never
 * recorded.
 *
 * @param recorded the attempt that counted
 * @returns false where there is none
 */
export async function inheritAnswer(
  store: OidcStore,
  { refreshToken, spender }: WonRefresh,
  { recorded, retryWindowSeconds }: { recorded: string; retryWindowSeconds: number },
): Promise<boolean> {
  const sealed = await findAnswer(store, { refreshToken, spender: recorded });
  if (sealed === undefined) return false;
  await store.putAnswer(refreshAnswerKey(refreshToken, spender), sealed, LEASE_SECONDS + retryWindowSeconds);
  return true;
}

/** What a refresh asks for beside the token itself: parameters by their names. */
export function questionOf(params: Readonly<Record<string, unknown>> | undefined): string {
  return JSON.stringify([params?.['resource'], params?.['scope'], params?.['authorization_details']]);
}

/** What was asked beside the token, and what was answered. */
export interface RefreshAnswer {
  answer: Record<string, unknown>;
  question?: string;
}

function sealRefreshAnswer(refreshToken: string, answer: object): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyFrom(refreshToken), iv);
  const body = Buffer.concat([cipher.update(JSON.stringify(answer)), cipher.final(), cipher.getAuthTag()]);
  return `${iv.toString('base64url')}.${body.toString('base64url')}`;
}

/** Throws where the token is another or the text was altered. */
export function openRefreshAnswer(refreshToken: string, sealed: string): RefreshAnswer {
  const [iv, text] = sealed.split('.').map((part) => Buffer.from(part, 'base64url'));
  if (!iv || !text) throw new Error('not a sealed answer');
  const decipher = createDecipheriv('aes-256-gcm', keyFrom(refreshToken), iv);
  decipher.setAuthTag(text.subarray(-16));
  const plain = Buffer.concat([decipher.update(text.subarray(0, -16)), decipher.final()]);
  return JSON.parse(plain.toString()) as RefreshAnswer;
}

/**
 * A refresh token is random through and through, so one hash of it makes a key. As a key object, for which a cipher
 * takes a third of the time that it takes for bytes.
 */
function keyFrom(refreshToken: string): KeyObject {
  return createSecretKey(hash('sha256', `gatehouse refresh answer ${refreshToken}`, 'buffer'));
}
