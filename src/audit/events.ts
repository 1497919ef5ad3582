import { z } from 'zod';

/*
 * The closed list of what the audit log can say: one strict schema per type, so nothing that is not named here can
 * slip into the log (a password, a code, a token). Keys are snake_case, as exported. Fields listed under `personal`
 * are kept apart in storage and can be erased without breaking the chain.
 */

const text = z.string().max(1_000);
const count = z.number().int().min(0);
const reason = text;
const scope = z.string().max(4_000).optional();
const time = z.iso.datetime();
const words = z.array(text).max(500);

/** What left the server: never the value, only its keyed hash (`AuditLog.fingerprint`). */
const issuedSchema = z.strictObject({
  kind: z.enum([
    'access_token',
    'refresh_token',
    'id_token',
    'authorization_code',
    'client_credentials',
    'device_code',
    'user_code',
    'backchannel_authentication_request',
    'pushed_authorization_request',
    'session',
  ]),
  fingerprint: text,
  expires_at: time.optional(),
  /** The key that signed it, where it is a JWT. */
  kid: text.optional(),
});
export type Issued = z.infer<typeof issuedSchema>;

const issued = z.array(issuedSchema).max(50);
const names = { email: text.optional(), username: text.optional(), name: text.optional() };
const NAMES = ['email', 'username', 'name'] as const;
const key = { kid: text, alg: text, use: text.optional() };
const refusal = { error: text, reason: reason.optional() };
/** Authorization details (RFC 9396): the type, and a keyed hash, for the values can be personal. */
const details = {
  authorization_details: z
    .array(z.strictObject({ type: text, fingerprint: text }))
    .max(20)
    .optional(),
};
const signIn = { method: text };
/** Where the person was signed in, and as what the session is known there: who is told of its end. */
const applications = z.array(z.strictObject({ client_id: text, sid: text.optional() })).max(500);

function define<S extends z.ZodRawShape>(
  shape: S,
  personal: readonly (keyof S & string)[] = [],
): { schema: z.ZodObject<S, z.core.$strict>; personal: readonly string[] } {
  return { schema: z.strictObject(shape), personal };
}

export const auditEvents = {
  // Accounts and their factors
  'account.created': define(
    {
      ...names,
      email_verified: z.boolean().optional(),
      sub: text.optional(),
      imported: z.boolean().optional(),
    },
    NAMES,
  ),
  'account.updated': define({ ...names, changed: words }, NAMES),
  /** What the clients of a sector know the person by (OIDC Core §8.1), from now on. */
  'account.subject_made': define({ sector: text }),
  'account.subject_imported': define({ sector: text, sub: text }),
  'account.disabled': define({ reason: reason.optional() }),
  'account.enabled': define({ reason: reason.optional() }),
  'account.password_set': define({ reason: reason.optional(), rehashed: z.boolean().optional() }),
  'account.erased': define({ reason: reason.optional() }),
  'account.role_granted': define({ role: text, role_id: text.optional() }),
  'account.role_revoked': define({ role: text, role_id: text.optional(), reason: reason.optional() }),
  'factor.totp_enrolled': define({}),
  'factor.totp_removed': define({ reason: reason.optional() }),
  'factor.recovery_codes_generated': define({ count }),
  'factor.recovery_code_used': define({ remaining: count }),
  'factor.reset': define({ removed: words.optional(), reason: reason.optional() }),

  // Signing in. Reasons are for the operator. A name that matched no account is never recorded: people type
  // passwords there.
  'sign_in.succeeded': define({
    ...signIn,
    reason: reason.optional(),
    amr: words.optional(),
    acr: text.optional(),
    known_device: z.boolean().optional(),
  }),
  'sign_in.failed': define({ ...signIn, reason, known_device: z.boolean().optional() }),
  'sign_in.throttled': define({
    ...signIn,
    reason: reason.optional(),
    retry_after_seconds: z.number().min(0).optional(),
  }),
  'sign_in.busy': define({
    ...signIn,
    reason: reason.optional(),
    retry_after_seconds: z.number().min(0).optional(),
  }),
  'sign_in.factor_succeeded': define({ ...signIn, remaining: count.optional() }),
  'sign_in.factor_failed': define({ ...signIn, reason }),
  'session.created': define({
    amr: words.optional(),
    acr: text.optional(),
    persistent: z.boolean().optional(),
  }),
  'session.ended': define({ reason, sub: text.optional(), applications: applications.optional() }),
  /** Signed out of one application; the session goes on. */
  'session.application_ended': define({
    reason,
    sub: text.optional(),
    applications: applications.optional(),
  }),
  'account.signed_out': define({ sessions: count, offline_grants: count }),
  'session.end_refused': define(refusal),

  /** An application was told of a sign-out, or could not be. */
  'logout_notice.delivered': define({ attempt: count, status: count }),
  'logout_notice.failed': define({ attempt: count, reason, next_attempt_at: time }),
  'logout_notice.refused': define({ attempt: count, status: count }),
  'logout_notice.given_up': define({ attempt: count, reason }),

  // What a person lets a client do
  'consent.granted': define({
    scope,
    claims: words.optional(),
    ...details,
    /** The permissions of APIs, each as "<api> <permission>". */
    permissions: words.optional(),
    remembered: z.boolean().optional(),
  }),
  'consent.declined': define({ scope, reason: reason.optional() }),
  'consent.revoked': define({ reason: reason.optional() }),
  'access.denied': define({ reason, required_role: text.optional() }),
  /** `sid` is the session's name at the client, where that is told of sign-outs by it. */
  'authorization.succeeded': define({
    response_type: text.optional(),
    scope,
    issued: issued.optional(),
    sid: text.optional(),
    ...details,
  }),
  'authorization.failed': define(refusal),
  'grant.created': define({ scope }),
  'grant.revoked': define({ reason, tokens: count.optional() }),

  // The protocol endpoints
  /** `exchange`: whose token was presented for it (RFC 8693), and who acts. */
  'token.issued': define({
    ...details,
    grant_type: text,
    issued,
    scope,
    resource: words.optional(),
    exchange: z
      .strictObject({
        mode: z.enum(['impersonation', 'delegation']),
        subject_client: text,
        subject_token: text,
        actor: text.optional(),
      })
      .exactOptional(),
  }),
  'token.refused': define({ ...refusal, grant_type: text.optional() }),
  /** A spent credential came again: the grant falls. */
  'token.replayed': define({ kind: text, fingerprint: text.optional(), reason: reason.optional() }),
  /** A spent refresh token came again at once from its own client, and got the same answer. */
  'token.retried': define({ kind: text.optional(), fingerprint: text.optional(), issued: issued.optional() }),
  /** The record of that request became durable only after it was answered 503: nothing it names was delivered. */
  'token.withheld': define({ request_id: text.optional(), events: words, spends: count }),
  'token.revoked': define({ kind: text, fingerprint: text.optional(), reason: reason.optional() }),
  'token.revocation_refused': define(refusal),
  'token.introspected': define({
    active: z.boolean(),
    kind: text.optional(),
    fingerprint: text.optional(),
    scope,
  }),
  'token.introspection_refused': define(refusal),
  'userinfo.read': define({ scope, claims: words.optional(), fingerprint: text.optional() }),
  'userinfo.refused': define(refusal),
  'par.pushed': define({ issued: issued.optional(), scope }),
  'par.refused': define(refusal),
  'device.started': define({ issued: issued.optional(), scope }),
  'device.refused': define(refusal),
  'device.approved': define({ scope, fingerprint: text.optional(), sid: text.optional() }),
  'device.declined': define({ reason: reason.optional(), fingerprint: text.optional() }),
  /** What a client asked a person without their browser (CIBA). `request` is the id that the list shows it under. */
  'approval.requested': define({ request: text, scope, issued: issued.optional() }),
  'approval.request_refused': define(refusal),
  'approval.approved': define({ request: text, scope }),
  'approval.denied': define({ request: text }),
  /** A person's answer that did not count. */
  'approval.refused': define({ request: text, reason, required_role: text.optional() }),
  /** A client was told that there is an answer, or could not be. */
  'approval_ping.delivered': define({ request: text, attempt: count, status: count }),
  'approval_ping.failed': define({ request: text, attempt: count, reason, next_attempt_at: time }),
  'approval_ping.refused': define({ request: text, attempt: count, status: count }),
  'approval_ping.given_up': define({ request: text, attempt: count, reason }),
  'client.authentication_failed': define({ method: text.optional(), reason }),

  // Changes by operators
  'client.created': define({ name: text, kind: text.optional(), imported: z.boolean().optional() }),
  'client.updated': define({ changed: words }),
  'client.secret_rotated': define({
    secret_id: text.optional(),
    expires_at: time.optional(),
    live: count.optional(),
  }),
  'client.secret_removed': define({ secret_id: text.optional(), reason: reason.optional() }),
  'client.deleted': define({ name: text.optional(), reason: reason.optional() }),
  /** By itself (RFC 7591): with which initial access token, where one is asked for. */
  'client.registered': define({
    name: text,
    kind: text,
    token_id: text.optional(),
    redirect_uris: z.array(z.string().max(2_048)).max(50),
  }),
  'client.registration_refused': define(refusal),
  'client.registration_throttled': define({ retry_after_seconds: count }),
  /** A client that registered itself read what is registered (RFC 7592). */
  'client.registration_read': define({}),
  'client.registration_access_refused': define(refusal),
  /** A document that a client id leads to was read (Client ID Metadata Documents), or not taken. */
  'client.document_read': define({ name: text, digest: text }),
  'client.document_refused': define({ url: text, reason }),
  'registration_token.created': define({
    token_id: text,
    name: text,
    max_uses: count.optional(),
    expires_at: time.optional(),
  }),
  'registration_token.revoked': define({ token_id: text, name: text }),
  'client.permitted': define({ api: text, permissions: words }),
  'client.forbidden': define({ api: text, permissions: words }),
  'api.created': define({ api: text, name: text, permissions: words.optional() }),
  'api.updated': define({ api: text, changed: words }),
  'api.deleted': define({ api: text, name: text.optional() }),
  'authorization_type.created': define({ type: text, api: text, name: text }),
  'authorization_type.updated': define({ type: text, changed: words }),
  'authorization_type.deleted': define({ type: text, api: text, name: text }),
  'api.permission_added': define({ api: text, permission: text }),
  'api.permission_described': define({ api: text, permission: text }),
  'api.permission_removed': define({ api: text, permission: text }),
  'role.created': define({ role: text, role_id: text.optional(), requires_mfa: z.boolean().optional() }),
  'role.updated': define({ role: text, role_id: text.optional(), changed: words }),
  'role.deleted': define({ role: text, role_id: text.optional() }),
  'role.permitted': define({ role: text, role_id: text.optional(), api: text, permissions: words }),
  'role.forbidden': define({ role: text, role_id: text.optional(), api: text, permissions: words }),
  'key.created': define({ ...key, state: text.optional() }),
  'key.activated': define(key),
  'key.rotated': define({ ...key, previous_kid: text.optional() }),
  'key.retired': define({ ...key, reason: reason.optional(), published_until: time.optional() }),
  'key.removed': define(key),
  /** Counted once a key that leaked is out: the tokens that it had signed and that would still be good. */
  'key.tokens_ended': define({
    ...key,
    ended: z.array(z.strictObject({ kind: text, count, latest_expiry: time })).max(20),
  }),
  'key.resealed': define({ count, key_id: text.optional() }),

  // The server itself
  'server.started': define({ version: text.optional(), env: text.optional(), node: text.optional() }),
  'server.stopped': define({ reason: reason.optional() }),
  'server.migrated': define({ migrations: words }),
  /** A request that nothing more telling was recorded of was refused. `route` names the page, without its ids. */
  'request.refused': define({ ...refusal, status: count, method: text, route: text }),
  /** A request met a fault. The error's name and no more: messages can carry anything. */
  'server.error': define({
    error: text,
    code: text.optional(),
    status: count.optional(),
    route: text.optional(),
  }),
  'audit.checkpoint': define({ seq: count, hash: text, sink: text }),
  'audit.personal_erased': define({ rows: count }),
  'audit.verified': define({ ok: z.boolean(), rows: count, problem: text.optional() }),
  'data.exported': define({ tables: words.optional(), rows: count.optional() }),
  'data.imported': define({ tables: words.optional(), rows: count.optional() }),
};

export type AuditEventType = keyof typeof auditEvents;
export type AuditPayload<T extends AuditEventType> = z.infer<(typeof auditEvents)[T]['schema']>;

/** Who did it. */
export type Actor =
  | { kind: 'account'; id: string }
  /** The operating system's user at the command line. */
  | { kind: 'operator'; name: string }
  | { kind: 'client'; id: string }
  | { kind: 'system'; name: string };

export type AuditOutcome = 'success' | 'failure';

/** One event of one type; `payload` is checked by the compiler and again against the type's schema. */
type AuditEventOf<T extends AuditEventType> = {
  type: T;
  outcome: AuditOutcome;
  actor?: Actor | undefined;
  /** accounts.id, a UUID */
  accountId?: string | undefined;
  clientId?: string | undefined;
  sessionUid?: string | undefined;
  grantId?: string | undefined;
  payload: AuditPayload<T>;
};

export type AuditEvent = { [T in AuditEventType]: AuditEventOf<T> }[AuditEventType];

/**
 * Checks the payload against the schema of its type and parts what can be erased from what cannot.
 *
 * @throws Error naming the type and the fields, never their values
 */
export function splitPayload(event: AuditEvent): {
  payload: Record<string, unknown>;
  personal: Record<string, unknown>;
} {
  const definition: { schema: z.ZodType; personal: readonly string[] } | undefined = Object.hasOwn(
    auditEvents,
    event.type,
  )
    ? auditEvents[event.type]
    : undefined;
  if (!definition) throw new Error(`Unknown audit event type ${event.type}`);
  const result = definition.schema.safeParse(event.payload);
  if (!result.success) {
    const issues = result.error.issues.map((issue) => `${issue.path.join('.')} ${issue.code}`);
    throw new Error(
      `The payload of audit event ${event.type} is not what its schema allows: ${issues.join(', ')}`,
    );
  }
  const payload: Record<string, unknown> = {};
  const personal: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(result.data as Record<string, unknown>)) {
    if (value === undefined) continue;
    (definition.personal.includes(name) ? personal : payload)[name] = value;
  }
  return { payload, personal };
}
