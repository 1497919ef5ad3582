/** What the audit log holds of an exchange, and what must not have been revoked when it becomes durable. */
import type { KoaContextWithOIDC } from 'oidc-provider';

import { consentKey } from '../../audit/revocations.ts';
import type { UnitOfWork } from '../../audit/unit-of-work.ts';
import { exchangeOf, standingOf } from './authority.ts';

/** Nothing for a request that exchanges no token. */
export function requireLiveExchange(ctx: KoaContextWithOIDC, unit: UnitOfWork | undefined): void {
  const found = exchangeOf(ctx);
  if (!found) return;
  const { exchange, grantId, accountId, sessionUid, authTime } = found;
  unit?.requireLive({
    grantId,
    accountId,
    ...(sessionUid === undefined ? {} : { sessionUid }),
    issuedAt: new Date((authTime ?? exchange.iat) * 1000),
  });
  const { actors = [], clientId, through = [], iat } = exchange;
  const issuedAt = new Date(iat * 1000);
  unit?.requireLive({ clientId, consent: consentKey({ sub: accountId, clientId }), issuedAt });
  for (const id of through) unit?.requireLive({ clientId: id, issuedAt });
  for (const subject of actors.flatMap(standingOf)) unit?.requireLive(subject);
}

export interface ExchangeRecord {
  mode: 'impersonation' | 'delegation';
  subject_client: string;
  subject_token: string;
  actor?: string;
}

/** For `token.issued`. @param fingerprint of the token that was presented */
export function exchangeRecord(
  ctx: KoaContextWithOIDC,
  fingerprint: (secret: string) => string,
): { exchange?: ExchangeRecord } {
  const found = exchangeOf(ctx);
  if (!found) return {};
  const { exchange, mode, subjectToken, actor } = found;
  return {
    exchange: {
      mode,
      subject_client: exchange.clientId,
      subject_token: fingerprint(subjectToken),
      ...(actor === undefined ? {} : { actor }),
    },
  };
}
