/**
 * From what the provider does to what the audit log records. The library emits events for most of it (bound here, in
 * one place); what it does in silence — introspection, userinfo, revocation — is recorded from the finished answer.
 * Listeners only collect: a listener that throws would turn a finished request into a 500.
 */
import { decodeJwt } from 'jose';
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { AuthorizationDetail } from '../apis/authorization-detail.ts';
import type { AuditEvent } from '../audit/events.ts';
import { currentUnitOfWork, type UnitOfWork } from '../audit/unit-of-work.ts';
import { type Clock, epochSeconds } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { detailsForRecord } from './authorization-details.ts';
import { HonestRetry } from './errors.ts';
import { requireConsent } from './grants.ts';
import { type Given, issuanceRecord } from './issuance-record.ts';
import { encryptedIdToken, saysActive } from './messages.ts';
import { presentedToken } from './structured-tokens.ts';
import { exchangeRecord, requireLiveExchange } from './token-exchange/record.ts';

export interface EventRecorder {
  bind: (provider: Provider) => void;
  /** What the library refused this request with, where it did. */
  failureOf: (ctx: KoaContextWithOIDC) => unknown;
  settings: EventSettings;
}

export interface EventSettings {
  fingerprint: (secret: string) => string;
  clock: Clock;
  /** Successful introspection and userinfo are frequent: recording them is the operator's choice. */
  mayRecordIntrospection: boolean;
  mayRecordUserinfo: boolean;
  /** How long what a session gave may outlive its end. */
  sessionBoundSeconds: number;
  logger: Logger;
  onGrant?: (grantType: string, outcome: 'success' | 'failure', clientId?: string) => void;
}

/** The library's event of a refusal, and ours. */
const REFUSALS = {
  'authorization.error': 'authorization.failed',
  'pushed_authorization_request.error': 'par.refused',
  'device_authorization.error': 'device.refused',
  'code_verification.error': 'device.refused',
  'device_resume.error': 'device.refused',
  'backchannel_authentication.error': 'approval.request_refused',
  'introspection.error': 'token.introspection_refused',
  'revocation.error': 'token.revocation_refused',
  'userinfo.error': 'userinfo.refused',
  'end_session.error': 'session.end_refused',
  'end_session_confirm.error': 'session.end_refused',
  'end_session_success.error': 'session.end_refused',
} as const;

export function createEventRecorder(settings: EventSettings): EventRecorder {
  const failures = new WeakMap<object, unknown>();
  const fail =
    (event: (ctx: KoaContextWithOIDC, error: Refusal) => AuditEvent) =>
    (ctx: KoaContextWithOIDC, error: Refusal): void => {
      failures.set(ctx.req, error);
      if (error instanceof HonestRetry || error.error === 'temporarily_unavailable') return;
      if (error.error === 'authorization_pending') {
        // Asked every few seconds, and refused nothing: the person has not decided yet (RFC 8628 §3.5).
        ctx.state['isNoRefusal'] = true;
        return;
      }
      currentUnitOfWork()?.record(event(ctx, error));
    };

  return {
    settings,
    failureOf: (ctx) => failures.get(ctx.req),
    bind: (provider) => {
      // The types name each event apart; a table of them needs the plain form.
      const on = provider.on.bind(provider) as (
        name: string,
        listener: (...args: never[]) => void,
      ) => unknown;
      provider.on('grant.success', (ctx) => recordIssuance(ctx, settings));
      on(
        'grant.error',
        fail((ctx, error) => refusedToken(ctx, error, settings)),
      );
      provider.on('pushed_authorization_request.success', (ctx) => recordPushed(ctx, settings));
      for (const [name, type] of Object.entries(REFUSALS)) {
        on(
          name,
          fail((ctx, error) => refused(type, ctx, error)),
        );
      }
      provider.on('server_error', (ctx, error) => noteFault(ctx, error, failures, settings));
    },
  };
}

type Refusal = Error & {
  error?: string;
  error_detail?: string | undefined;
  error_description?: string | undefined;
};

/** The entities of a request, as an audit record names them. */
function subjectOf(
  ctx: KoaContextWithOIDC,
): Pick<AuditEvent, 'accountId' | 'clientId' | 'grantId' | 'sessionUid'> {
  const { entities } = ctx.oidc;
  const account = entities.Account as { id?: string } | undefined;
  const source =
    entities.AuthorizationCode ??
    entities.DeviceCode ??
    entities.BackchannelAuthenticationRequest ??
    entities.RefreshToken ??
    entities.AccessToken;
  const sessionUid = entities.Session?.uid ?? (source as { sessionUid?: string } | undefined)?.sessionUid;
  const grantId = entities.Grant?.jti ?? (source as { grantId?: string } | undefined)?.grantId;
  return {
    ...(account?.id ? { accountId: account.id } : {}),
    ...(ctx.oidc.client ? { clientId: ctx.oidc.client.clientId } : {}),
    ...(grantId ? { grantId } : {}),
    ...(sessionUid ? { sessionUid } : {}),
  };
}

interface TokenAnswer {
  access_token?: string;
  refresh_token?: string;
  id_token?: string;
  scope?: string;
  authorization_details?: AuthorizationDetail[];
}

function recordIssuance(ctx: KoaContextWithOIDC, { fingerprint, onGrant, clock }: EventSettings): void {
  const unit = currentUnitOfWork();
  const { entities, params } = ctx.oidc;
  const answer = ctx.body as TokenAnswer;
  const grantType = String(params?.['grant_type']);
  // The library writes `exp` into what it stores and signs, not always into the object: there its life is known.
  const expiryOf = (token: { exp?: unknown; expiration?: unknown } | undefined): number | undefined => {
    const exp = Number(token?.exp ?? epochSeconds(clock) + Number(token?.expiration));
    return Number.isFinite(exp) ? exp : undefined;
  };
  const given: Given[] = [];
  const give = (kind: Given['kind'], value: string | undefined, token?: object, signedBy?: string): void => {
    if (value) given.push({ kind, value, expiresAt: expiryOf(token), kid: signedBy ?? kidOf(value) });
  };
  give('access_token', answer.access_token, entities.AccessToken ?? entities.ClientCredentials);
  // One that does not rotate comes along with the answer, but it is the one that was presented.
  const isKept = grantType === 'refresh_token' && !entities.RotatedRefreshToken;
  if (!isKept) give('refresh_token', answer.refresh_token, entities.RefreshToken);
  const encrypted = encryptedIdToken(ctx);
  give('id_token', answer.id_token, encrypted ?? claimsOf(answer.id_token), encrypted?.kid);

  const audience = (entities.AccessToken ?? entities.ClientCredentials)?.aud;
  // What was spent decides since when the authority stands: something revoked in the meantime must win.
  const source = (entities.AuthorizationCode ??
    entities.DeviceCode ??
    entities.BackchannelAuthenticationRequest ??
    entities.RotatedRefreshToken ??
    entities.RefreshToken) as Authority | undefined;
  if (source && unit) {
    requireLiveAuthority(source, unit);
    requireConsent(entities.Grant ?? {}, unit);
  }
  requireLiveExchange(ctx, unit);
  unit?.record(
    issuanceRecord(
      {
        ...subjectOf(ctx),
        grantType,
        given,
        scope: answer.scope,
        api: typeof audience === 'string' ? audience : undefined,
        more: {
          ...detailsForRecord(answer.authorization_details, fingerprint),
          ...exchangeRecord(ctx, fingerprint),
        },
      },
      fingerprint,
    ),
  );
  const clientId = ctx.oidc.client?.clientId;
  unit?.onCommit(async () => onGrant?.(grantType, 'success', clientId));
}

/** What a token is issued upon: a code, a refresh token, the answer of a person. */
export interface Authority {
  iat?: number;
  authTime?: number;
  clientId?: string;
  accountId?: string;
  grantId?: string;
  sessionUid?: string;
  expiresWithSession?: boolean;
}

/** Nothing of it may have been revoked when the record of what it gave is written. */
export function requireLiveAuthority(
  { iat = 0, authTime = iat, clientId, accountId, grantId, sessionUid, expiresWithSession }: Authority,
  unit: UnitOfWork,
): void {
  unit.requireLive({
    ...(grantId ? { grantId } : {}),
    ...(expiresWithSession && sessionUid ? { sessionUid } : {}),
    ...(accountId ? { accountId } : {}),
    issuedAt: new Date(authTime * 1000),
  });
  unit.requireLive({ ...(clientId ? { clientId } : {}), issuedAt: new Date(iat * 1000) });
}

/** Of what is a signed JWT: three parts. Opaque tokens have one, encrypted ones five. */
function kidOf(token: string): string | undefined {
  const [header = '', ...rest] = token.split('.');
  if (rest.length !== 2) return undefined;
  return (JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid?: string }).kid;
}

function claimsOf(token: string | undefined): object | undefined {
  return token?.split('.').length === 3 ? decodeJwt(token) : undefined;
}

/** An honest retry: the same answer once more, nothing new came to be. */
export function recordRetry(ctx: KoaContextWithOIDC): void {
  currentUnitOfWork()?.record({
    type: 'token.retried',
    outcome: 'success',
    ...subjectOf(ctx),
    payload: { kind: 'refresh_token' },
  });
}

/** The same refresh token for something else, while its successor is on the way. */
export function recordOtherQuestion(ctx: KoaContextWithOIDC): void {
  currentUnitOfWork()?.record({
    type: 'token.refused',
    outcome: 'failure',
    ...subjectOf(ctx),
    payload: {
      grant_type: 'refresh_token',
      error: 'invalid_grant',
      reason: 'the refresh token was spent a moment ago for another API or scope',
    },
  });
}

export function refusedToken(
  ctx: KoaContextWithOIDC,
  error: Refusal,
  { onGrant }: EventSettings,
): AuditEvent {
  const grantType = grantTypeOf(ctx);
  onGrant?.(grantType, 'failure');
  return {
    type: 'token.refused',
    outcome: 'failure',
    ...subjectOf(ctx),
    payload: { grant_type: grantType, error: error.error ?? error.name, ...reasonOf(error) },
  };
}

/** What can be the name of one: what a garbled request has there instead may be a token. */
const GRANT_TYPE = /^(?:[A-Za-z_]{1,40}|urn:[\w:.-]{1,96})$/;

/** Given several times it is a list, until the library gets to refusing it. */
function grantTypeOf(ctx: KoaContextWithOIDC): string {
  const given: unknown = ctx.oidc.params?.['grant_type'];
  if (typeof given !== 'string') return 'none';
  return GRANT_TYPE.test(given) ? given : 'unreadable';
}

function refused(
  type: (typeof REFUSALS)[keyof typeof REFUSALS],
  ctx: KoaContextWithOIDC,
  error: Refusal,
): AuditEvent {
  return {
    type,
    outcome: 'failure',
    ...subjectOf(ctx),
    payload: { error: error.error ?? error.name, ...reasonOf(error) },
  };
}

/** For the operator only; the client is told the error, not why. */
function reasonOf(error: Refusal): { reason?: string } {
  const reason = error.error_detail ?? error.error_description;
  return reason ? { reason: reason.slice(0, 300) } : {};
}

function recordPushed(ctx: KoaContextWithOIDC, { fingerprint }: EventSettings): void {
  const { request_uri: requestUri } = ctx.body as { request_uri: string };
  currentUnitOfWork()?.record({
    type: 'par.pushed',
    outcome: 'success',
    ...subjectOf(ctx),
    payload: { issued: [{ kind: 'pushed_authorization_request', fingerprint: fingerprint(requestUri) }] },
  });
}

function noteFault(
  ctx: KoaContextWithOIDC,
  error: Error,
  failures: WeakMap<object, unknown>,
  { logger }: EventSettings,
): void {
  failures.set(ctx.req, error);
  logger.error({ err: error, route: ctx.oidc?.route }, 'request failed with a fault');
}

/** Recorded by the record keeper, once everything else that the request gathered has been given up. */
export function faultEvent(ctx: KoaContextWithOIDC, error: Error): AuditEvent {
  return {
    type: 'server.error',
    outcome: 'failure',
    ...subjectOf(ctx),
    payload: { error: error.name, route: ctx.oidc.route },
  };
}

/** What the library does without an event, told from its finished answer. */
export function recordSilentRoutes(ctx: KoaContextWithOIDC, { settings }: EventRecorder): void {
  const unit = currentUnitOfWork();
  const { route } = ctx.oidc;
  if (!unit || ctx.status !== 200 || !['introspection', 'userinfo', 'revocation'].includes(route)) return;
  const { AccessToken, RefreshToken, ClientCredentials } = ctx.oidc.entities;
  const token = RefreshToken ?? AccessToken ?? ClientCredentials;
  if (route === 'introspection') {
    const active = saysActive(ctx);
    if (token && !active) {
      // Told as inactive; the token is there, and somebody else's (token-readers.ts).
      unit.record({
        type: 'token.introspection_refused',
        outcome: 'failure',
        ...subjectOf(ctx),
        payload: { error: 'invalid_token', reason: 'the client may not ask about this token' },
      });
    } else if (settings.mayRecordIntrospection) {
      unit.record({
        type: 'token.introspected',
        outcome: 'success',
        ...subjectOf(ctx),
        payload: {
          active,
          ...(token ? { kind: token.kind, fingerprint: settings.fingerprint(presentedToken(ctx)) } : {}),
        },
      });
    }
  }
  if (route === 'userinfo' && ctx.method !== 'OPTIONS' && settings.mayRecordUserinfo) {
    unit.record({ type: 'userinfo.read', outcome: 'success', ...subjectOf(ctx), payload: {} });
  }
  if (route === 'revocation') {
    if (!token) return;
    // The library answers 200 either way; configuration.ts lets a client revoke what is its own.
    if (token.clientId !== ctx.oidc.client?.clientId) {
      unit.record({
        type: 'token.revocation_refused',
        outcome: 'failure',
        ...subjectOf(ctx),
        payload: { error: 'invalid_token', reason: 'the token belongs to another client' },
      });
      return;
    }
    unit.record({
      type: 'token.revoked',
      outcome: 'success',
      ...subjectOf(ctx),
      payload: { kind: token.kind, fingerprint: settings.fingerprint(presentedToken(ctx)) },
    });
  }
}
