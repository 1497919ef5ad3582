import { errors } from 'oidc-provider';

import { isDatabaseUnavailable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { isRedisUnavailable } from '../platform/redis.ts';

/** The body of a 503: for whoever is not told by a redirect. */
export const UNAVAILABLE = {
  error: 'temporarily_unavailable',
  error_description: 'the server cannot answer at the moment; nothing was changed, try again shortly',
} as const;

/** What a client that should try again is told (RFC 6749 §4.1.2.1); at the authorization endpoint as a redirect. */
export function temporarilyUnavailable(cause: unknown): errors.CustomOIDCProviderError {
  const error = new errors.CustomOIDCProviderError(UNAVAILABLE.error, UNAVAILABLE.error_description);
  error.cause = cause;
  return error;
}

/** Whether the fault passes by itself: something that we lean on cannot be reached, or says that it is busy. */
export function isUnavailable(error: unknown): boolean {
  return (
    isDatabaseUnavailable(error) ||
    isRedisUnavailable(error) ||
    (error instanceof AppError && error.status === 503) ||
    (error instanceof errors.OIDCProviderError && error.error === 'temporarily_unavailable')
  );
}

/** What is away, for the log. Without its stack: while something is away there is one of these for each request. */
export function reasonOf(failure: unknown): string {
  const cause = failure instanceof Error ? (failure.cause ?? failure) : failure;
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * The work of one of the library's callbacks, which takes every fault that it does not know for a `server_error`: what
 * passes by itself is told as `temporarily_unavailable`, so that clients retry instead of giving up.
 */
export async function orTemporarilyUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUnavailable(error) && !(error instanceof errors.OIDCProviderError))
      throw temporarilyUnavailable(error);
    throw error;
  }
}

/** Whether what is away is not ours: an application is described by a document that cannot be read. */
export function isClientDocumentUnreachable(error: unknown): boolean {
  const cause = error instanceof errors.OIDCProviderError ? error.cause : error;
  return cause instanceof AppError && cause.code === 'client_document_unreachable';
}

/** Seconds that a client should wait before it tries again after `temporarily_unavailable` (RFC 9110 §10.2.3). */
export const RETRY_AFTER_SECONDS = 2;

/**
 * The refusal of a refresh token that was spent moments ago by the same client: not an error in the end, for the
 * record keeper answers it with the sealed copy of the first answer.
 */
export class HonestRetry extends errors.InvalidGrant {
  readonly sealedAnswer: string;
  readonly refreshToken: string;

  constructor(refreshToken: string, sealedAnswer: string) {
    super('refresh token presented again within the retry window');
    this.refreshToken = refreshToken;
    this.sealedAnswer = sealedAnswer;
  }
}
