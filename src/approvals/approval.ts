/**
 * Approvals: what applications ask a person without the person's browser (OpenID CIBA Core 1.0).
 *
 * This folder owns the tables `approval_requests` and `approval_pings`. It holds that
 *  - a request is decided once: approved or denied, by one conditional update, in one transaction with its record and
 *    with what tells the client of it;
 *  - one application cannot flood a person: so many requests wait at a time, so many come within an hour;
 *  - nothing here can be presented: an `auth_req_id` is kept as a digest, and sealed where a client is to be told it.
 *
 * Elsewhere: the endpoint, the tokens, and who may approve (oidc/ciba.ts, oidc/approval-desk.ts); the page of the person
 * (account/); which addresses may be asked (platform/outgoing.ts).
 */

/** What a client asks a person for. */
export interface Asked {
  scopes: string[];
  /** By API. */
  permissions: Record<string, string[]>;
  /** Of `acr_values`, in the client's order of preference. */
  acrValues: string[];
  /** How old the sign-in that approves may be. */
  maxAgeSeconds?: number;
}

/** The sign-in that an approval stands on. */
export interface Authority {
  grantId: string;
  sessionUid: string;
  acr?: string;
  amr?: string[];
  /** Seconds since the epoch. */
  authTime: number;
}

export type Decision = { kind: 'approved'; authority: Authority } | { kind: 'denied' };

export interface ApprovalRequest {
  id: string;
  /** accounts.id */
  accountId: string;
  clientId: string;
  bindingMessage?: string;
  asked: Asked;
  createdAt: Date;
  expiresAt: Date;
  decision?: Decision;
}

export interface NewApprovalRequest {
  requestDigest: string;
  accountId: string;
  clientId: string;
  bindingMessage?: string | undefined;
  asked: Asked;
  expiresAt: Date;
  /** For a client in ping mode. */
  ping?: Ping | undefined;
}

/** What a client in ping mode is told, and the bearer token that it knows us by (§7.1, `client_notification_token`). */
export interface Ping {
  authReqId: string;
  token: string;
}

/** What a client needs to be told. */
export interface PingedClient {
  backchannelClientNotificationEndpoint?: string;
}
