import type { IsDead } from './liveness.ts';
import type { SessionAuthorizations, StandingToken } from './store/port.ts';

/**
 * Whether the token's grant is there and the one that it was given under, and where it ends with a session, that one too.
 *
 * @param clientId whose grant it is: the token's own client, unless the token was got in exchange
 */
export function stands(
  { token, grant, session }: StandingToken,
  isDead: IsDead,
  clientId: unknown = token['clientId'],
): boolean {
  const { grantId, accountId, expiresWithSession, sessionUid } = token;
  if (expiresWithSession) {
    const authorizations = (session?.['authorizations'] ?? {}) as SessionAuthorizations;
    const isBound =
      session !== undefined &&
      !isDead('Session', String(sessionUid), session) &&
      session['accountId'] === accountId &&
      authorizations[String(clientId)]?.['grantId'] === grantId;
    if (!isBound) return false;
  }
  if (typeof grantId !== 'string') return grantId === undefined;
  return (
    grant !== undefined &&
    !isDead('Grant', grantId, grant) &&
    grant['clientId'] === clientId &&
    grant['accountId'] === accountId
  );
}
