import { AppError } from '../platform/errors.ts';
import { isPublic, type ClientDefinition } from './client.ts';

/** What is looked at before it is decided whether refresh tokens rotate. */
export interface RotationSubject extends Pick<
  ClientDefinition,
  'authMethod' | 'dpopBoundAccessTokens' | 'rotateRefreshTokens'
> {
  tlsClientCertificateBoundAccessTokens?: boolean;
  profile?: string;
}

/** Whether every access token of the client is good only along with a proof that it is the one who asks. */
function isSenderConstrained(client: RotationSubject): boolean {
  return client.dpopBoundAccessTokens || client.tlsClientCertificateBoundAccessTokens === true;
}

/**
 * Whether a refresh gives a new refresh token in the place of the old one. FAPI 2.0 Security Profile §5.3.2.1 wants
 * none, for sender-constrained tokens need none and rotation loses sign-ins; everywhere else rotation is what tells a
 * theft (RFC 9700 §4.14.2).
 *
 * @param token bound by itself to a key or a certificate, as a public client's are; a confidential client's are bound
 *   to its authentication
 */
export function rotatesRefreshToken(
  client: RotationSubject,
  token: { isSenderConstrained: () => boolean },
): boolean {
  const isKept = client.rotateRefreshTokens === false || client.profile !== undefined;
  const isBound = isSenderConstrained(client) && (!isPublic(client) || token.isSenderConstrained());
  return !(isKept && isBound);
}

/** @throws AppError `invalid_client` (400) */
export function checkRefreshOptions(definition: ClientDefinition): void {
  const { refreshTokenIdleSeconds: idle, refreshTokenAbsoluteSeconds: absolute, grantTypes } = definition;
  if (idle !== undefined && absolute !== undefined && idle > absolute) {
    throw refuse('a refresh token cannot lie unused for longer than its family lives');
  }
  const isSet = idle !== undefined || absolute !== undefined || definition.rotateRefreshTokens !== undefined;
  if (isSet && !grantTypes.includes('refresh_token')) {
    throw refuse(
      'lifetimes and rotation of refresh tokens are for clients with the grant type refresh_token',
    );
  }
  if (definition.rotateRefreshTokens === false && !isSenderConstrained(definition)) {
    throw refuse(
      'refresh tokens may go without rotation only where tokens are bound to a DPoP key or a certificate (RFC 9700 §4.14.2)',
    );
  }
  if (definition.rotateRefreshTokens === true && (definition as RotationSubject).profile !== undefined) {
    throw refuse('FAPI 2.0 (§5.3.2.1) wants refresh tokens that do not rotate');
  }
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `This client cannot be registered so: ${advice}.`);
}
