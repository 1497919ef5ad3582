/** What a refresh stands on, as the library stores it: taken for what it is where it holds nothing unknown. */
import type { StoredPayload } from '../store/port.ts';

/** A refresh token as the library stores it. Times are seconds of the epoch. */
export interface HeldRefreshToken {
  iat: number;
  exp: number;
  clientId: string;
  accountId: string;
  grantId: string;
  /** When the first of its family was issued. */
  iiat?: number;
  rotations?: number;
  gty?: string;
  scope?: string;
  resource?: string | string[];
  sessionUid?: string;
  expiresWithSession?: boolean;
  sid?: string;
  nonce?: string;
  acr?: string;
  amr?: string[];
  authTime?: number;
}

export interface HeldGrant {
  iat?: number;
  exp?: number;
  accountId?: string;
  clientId?: string;
  openid?: { scope?: string };
  /** Scopes by API. */
  resources?: Record<string, string>;
  /** Since when, by API. */
  allowedAt?: Record<string, number>;
}

/** Anything else may change the answer; one that is `consumed` is the library's. */
const KNOWN_TOKEN = new Set([
  'iat',
  'exp',
  'jti',
  'kind',
  'gty',
  'clientId',
  'accountId',
  'grantId',
  'sessionUid',
  'expiresWithSession',
  'authTime',
  'acr',
  'amr',
  'nonce',
  'sid',
  'resource',
  'scope',
  'rotations',
  'iiat',
]);
const KNOWN_GRANT = new Set([
  'iat',
  'exp',
  'jti',
  'kind',
  'accountId',
  'clientId',
  'openid',
  'resources',
  'allowedAt',
]);
/** Without its own id: the next of the family has another. */
export function asRefreshToken(payload: StoredPayload): HeldRefreshToken | undefined {
  if (!holdsOnly(payload, KNOWN_TOKEN)) return undefined;
  const { jti: _jti, ...held } = payload;
  return held as unknown as HeldRefreshToken;
}

export function asGrant(payload: StoredPayload): HeldGrant | undefined {
  return holdsOnly(payload, KNOWN_GRANT) ? (payload as HeldGrant) : undefined;
}

function holdsOnly(payload: StoredPayload, known: ReadonlySet<string>): boolean {
  return Object.keys(payload).every((name) => known.has(name));
}
