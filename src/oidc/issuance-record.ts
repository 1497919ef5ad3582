import type { AuditEvent, Issued } from '../audit/events.ts';

/** One thing that an answer of the token endpoint gives. */
export interface Given {
  kind: Issued['kind'];
  value: string;
  /** Seconds since the epoch. */
  expiresAt?: number | undefined;
  /** What signed it. */
  kid?: string | undefined;
}

/** What was given, as the audit log tells it whichever way the answer came about: by fingerprints, never the values. */
export function issuanceRecord(
  {
    grantType,
    given,
    scope,
    api,
    more,
    ...subject
  }: Pick<AuditEvent, 'accountId' | 'clientId' | 'grantId' | 'sessionUid'> & {
    grantType: string;
    given: readonly Given[];
    scope: string | undefined;
    /** The identifier of the API that the access token is for. */
    api: string | undefined;
    /** What only some grants have to tell. */
    more?: object;
  },
  fingerprint: (secret: string) => string,
): AuditEvent {
  return {
    type: 'token.issued',
    outcome: 'success',
    ...subject,
    payload: {
      grant_type: grantType,
      issued: given.map(({ kind, value, expiresAt, kid }) => ({
        kind,
        fingerprint: fingerprint(value),
        ...(expiresAt === undefined ? {} : { expires_at: new Date(expiresAt * 1000).toISOString() }),
        ...(kid === undefined ? {} : { kid }),
      })),
      ...(scope ? { scope } : {}),
      ...(api === undefined ? {} : { resource: [api] }),
      ...more,
    },
  };
}
