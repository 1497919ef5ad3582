import { errors } from 'oidc-provider';

/** What a client that should try again is told (RFC 6749 §4.1.2.1); at the authorization endpoint as a redirect. */
export function temporarilyUnavailable(cause: unknown): errors.CustomOIDCProviderError {
  const error = new errors.CustomOIDCProviderError(
    'temporarily_unavailable',
    'the server cannot answer at the moment; nothing was changed, try again shortly',
  );
  error.cause = cause;
  return error;
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
