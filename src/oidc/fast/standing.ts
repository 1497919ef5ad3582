import type { IsDead } from '../liveness.ts';
import type { StandingToken } from '../store/port.ts';

/** Whether the token's grant is there and its own, and where it ends with a session, that one too. */
export function stands({ token, grant, session }: StandingToken, isDead: IsDead): boolean {
  const { grantId, accountId, clientId, expiresWithSession, sessionUid } = token;
  if (expiresWithSession) {
    const authorizations = (session?.['authorizations'] ?? {}) as Record<string, { grantId?: unknown }>;
    const isBound =
      session !== undefined &&
      !isDead('Session', String(sessionUid), session) &&
      session['accountId'] === accountId &&
      authorizations[String(clientId)]?.grantId === grantId;
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
