/**
 * The storage port: what expires (sessions, grants, codes, tokens, interactions, replay marks), behind one interface
 * with two implementations, Redis and PostgreSQL, held to one contract suite (`test/contract/store`).
 *
 * Invariants, in both:
 * - Keys are SHA-256 digests of ids, and no payload holds a value that a client or browser could present: a leaked
 *   backup holds nothing that works.
 * - Spending is one compare-and-set, and a spend mark survives every later write of its payload.
 * - What was destroyed is not brought back by a request that had read it before.
 *
 * Elsewhere: the provider's own adapter interface (`oidc/adapter.ts`), and the last word on what is spent or revoked,
 * which belongs to the audit flush in PostgreSQL (`audit/`).
 */
export type Model =
  | 'Session'
  | 'Interaction'
  | 'AccessToken'
  | 'AuthorizationCode'
  | 'RefreshToken'
  | 'ClientCredentials'
  | 'DeviceCode'
  | 'Grant'
  | 'PushedAuthorizationRequest'
  | 'ReplayDetection'
  | 'BackchannelAuthenticationRequest'
  | 'PreAuthorizedCode'
  | 'InitialAccessToken'
  | 'RegistrationAccessToken';

export interface StoredPayload {
  [key: string]: unknown;
  /** Seconds since the epoch. Ignored on write: only spending sets it. */
  consumed?: number;
}

/**
 * The outcome of one attempt to spend. A retry under the spender that holds the mark wins again. `tookOverFrom` is the
 * spender whose pending mark had lapsed: it may have made its record durable before it died.
 */
export type Spending =
  | { kind: 'won'; tookOverFrom?: string }
  | { kind: 'lost'; by: string; isFinal: boolean; at: Date }
  | { kind: 'missing' };

/** `intervalSeconds`: how long to wait from now on. */
export type Polling = { kind: 'in-time' } | { kind: 'too-early'; intervalSeconds: number };

/** What a session lets each client know: client id → `{ sid, grantId, … }`. */
export type SessionAuthorizations = Record<string, Record<string, unknown>>;

export type StandingModel = 'AccessToken' | 'ClientCredentials' | 'RefreshToken' | 'AuthorizationCode';

/** A token or a code, and what it stands on, where it names that. */
export interface StandingToken {
  token: StoredPayload;
  grant?: StoredPayload | undefined;
  /** Read only for what ends with its session. */
  session?: StoredPayload | undefined;
}

/** `ended`: nothing was written, the session was destroyed or has expired meanwhile. */
export type SessionSaving = 'saved' | 'ended';

export interface OidcStore {
  /**
   * Creates or replaces. Never clears a spend mark. For a session: `saveSession` without a baseline, silent when
   * it has ended.
   *
   * @param ttlSeconds undefined: until destroyed
   * @throws AppError `grant_ended` (400) for a token of a grant that was destroyed, also when that happens at the same
   *   moment; nothing findable is left then
   */
  upsert: (model: Model, id: string, payload: StoredPayload, ttlSeconds: number | undefined) => Promise<void>;
  /** `consumed` is present when spent: for good, or by a pending mark within its lease. */
  find: (model: Model, id: string) => Promise<StoredPayload | undefined>;
  /**
   * The token with its grant and its session, as `find` and `findByUid` would tell each, in one round trip. It takes two
   * where the session, or in Redis the grant, is not there any more, and on a Redis Cluster, where the keys share no slot.
   */
  findStanding: (model: StandingModel, id: string) => Promise<StandingToken | undefined>;
  /** The session, as its latest sign-in left it, without `jti`: its id cannot be read back. */
  findByUid: (uid: string) => Promise<StoredPayload | undefined>;
  /** Device codes; with `jti`. */
  findByUserCode: (userCode: string) => Promise<StoredPayload | undefined>;
  /**
   * Idempotent. A session is ended whole, as by `endSession`: for a change of its id use `saveSession`'s `replaces`.
   * A grant takes all its tokens along, and no token can be written under it any more.
   */
  destroy: (model: Model, id: string) => Promise<void>;
  /** Removes every token under the grant; the grant itself stands and may bear new ones. */
  revokeByGrantId: (grantId: string) => Promise<void>;

  /**
   * Writes a session under its id. Authorizations are kept by `uid`, and only what differs from the baseline is
   * written, so requests that save one session at the same time keep each other's clients.
   *
   * @param options.baseline the `authorizations` as this request's `find` returned them (`{}` for none). With it the
   *   session has to exist still; without it the session is new and may be created
   * @param options.replaces the id that this one takes over from (`resetIdentifier`). It stays good for
   *   ROTATION_GRACE_SECONDS, with the payload it had: for requests under way in the same browser, and for one whose
   *   answer with the new id never arrived
   */
  saveSession: (
    id: string,
    payload: StoredPayload,
    ttlSeconds: number,
    options?: { baseline?: SessionAuthorizations; replaces?: string },
  ) => Promise<SessionSaving>;
  /** Ends a session: every id of it and its authorizations; later saves of it are refused. Idempotent. */
  endSession: (uid: string) => Promise<void>;

  /**
   * Compare-and-set: of any number of attempts, on any number of machines, one wins. The mark is pending until
   * confirmed; a pending mark lapses after its lease (the process died before its record was durable) and may then be
   * taken over, a final one never. Never brings back a missing key.
   *
   * @param options.spender a unique id of this attempt
   */
  spend: (model: Model, id: string, options: { spender: string; leaseSeconds: number }) => Promise<Spending>;
  /** Pending → final. Idempotent; without effect for a spender that does not hold the mark. */
  confirmSpent: (model: Model, id: string, spender: string) => Promise<void>;
  /** Undoes a spending: only for the spender that holds the mark, and only while it is pending. */
  releaseSpent: (model: Model, id: string, spender: string) => Promise<void>;

  /** First use of a replay mark (RFC 9449 §11.1, RFC 7523 §3): true when nobody has it now. */
  markOnce: (key: string, spender: string, ttlSeconds: number) => Promise<boolean>;
  /** Takes a mark back, only for the spender that set it. */
  unmark: (key: string, spender: string) => Promise<void>;

  /**
   * Counts one question of a client that asks again and again (RFC 8628 §3.5). The first is in time; whoever asks
   * sooner than the interval after the question before is told so, and the interval grows by a step. Of several
   * questions at once one is in time.
   *
   * @param options.ttlSeconds how long a question is remembered
   */
  poll: (
    key: string,
    options: { intervalSeconds: number; stepSeconds: number; ttlSeconds: number },
  ) => Promise<Polling>;

  /** Keeps the answer to a refresh, already sealed by the caller, for honest retries. */
  putAnswer: (key: string, sealed: string, ttlSeconds: number) => Promise<void>;
  getAnswer: (key: string) => Promise<string | undefined>;

  /** Throws when the store cannot answer. */
  ping: () => Promise<void>;
}

/** How much earlier than the interval a question may arrive: waits are measured by two clocks and a network. */
export const POLL_LENIENCY_MS = 500;
/** How long a session id that was replaced still finds its session. Longer than a restart or a failover takes. */
export const ROTATION_GRACE_SECONDS = 120;
/** How long an ended session or grant is remembered: longer than any request that had read it can last. */
export const TOMBSTONE_SECONDS = 3600;
