/**
 * Sign-out: telling applications that somebody signed out (OIDC Back-Channel Logout 1.0), and signing people out from
 * outside of their browser.
 *
 * This folder owns the tables `logout_cursor` and `logout_notices`. It holds that
 *  - the audit log is the queue: a notice is made of the chained record of a sign-out and of nothing else, so none is
 *    lost with a process, and none is sent for a sign-out that was not recorded (expand.ts);
 *  - one process at a time delivers a notice; it is tried again with growing pauses until it succeeds, the application
 *    refuses it (400), or it is given up (delivery.ts, platform/delivery/); every outcome is recorded;
 *  - a logout token is made when it is sent, so it is fresh however long the application was away (logout-token.ts).
 *
 * Elsewhere: what a sign-out in the browser ends and records (oidc/sign-out.ts), which addresses may be asked
 * (platform/outgoing.ts), which key signs (keys/), encrypting to a client (oidc/encrypt-to-client.ts).
 */

/** One application that is to be told of one sign-out. */
export interface Notice {
  id: string;
  clientId: string;
  /** accounts.id, for the record. */
  accountId?: string;
  sub: string;
  /** Absent: every session of the person at that application has ended. */
  sid?: string;
  sessionUid?: string;
  /** How often it was tried before. */
  attempts: number;
  givesUpAt: Date;
}

/** What a notice needs to know of a client. */
export interface NoticedClient {
  clientId: string;
  backchannelLogoutUri?: string;
  backchannelLogoutSessionRequired: boolean;
  idTokenAlg: string;
  /** Its logout tokens are encrypted like its ID tokens (OIDC Back-Channel Logout 1.0 §2.6). */
  idTokenEncryptedResponseAlg?: string;
  /** Where no operator registered it. */
  origin?: string;
}

/**
 * What the client knows the person by, from the account's own `sub`; undefined where that cannot be told any more, because
 * the account is gone.
 */
export type TellSubject = (clientId: string, sub: string) => Promise<string | undefined>;

export type FindClient = (clientId: string) => Promise<NoticedClient | undefined>;
