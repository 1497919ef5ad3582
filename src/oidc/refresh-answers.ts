/**
 * The sealed copy of a refresh's answer, for the client whose connection broke before it arrived. Sealed with a key
 * that only the bearer of the spent refresh token can derive, so a leaked store holds nothing that works.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

import { digest } from '../platform/ids.ts';

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
export function refreshAnswerKey(refreshToken: string, spender: string): string {
  return digest('refresh answer', refreshToken, spender);
}

export function sealRefreshAnswer(refreshToken: string, answer: object): string {
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
