/**
 * OpenID Client-Initiated Backchannel Authentication (CIBA Core 1.0): a client asks a person without their browser, the
 * person answers on a page of their account, and the client fetches the tokens.
 *
 * The list of requests, and the answer to each, are in PostgreSQL (approvals/); the library's own request, which the
 * tokens are given for, is in the store, as any code is. What was decided reaches it when the client asks: so an answer
 * is durable before it has any effect, and a process that dies in between loses nothing.
 *
 * Elsewhere: who may answer (approval-desk.ts), how often a client may ask (polling.ts), redeeming (adapter.ts).
 */
import { type Configuration, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { AccountService } from '../accounts/account.ts';
import type { ApprovalRequest, Asked, Authority } from '../approvals/approval.ts';
import type { ApprovalService } from '../approvals/service.ts';
import { afterSecondOf, consentKey, type RevocationList } from '../audit/revocations.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import type { Clock } from '../platform/clock.ts';
import { digest } from '../platform/ids.ts';
import type { RateLimiter } from '../platform/rate-limit.ts';
import { wordsOf } from './entitlement.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';
import { afterWithdrawal, saveGrant } from './grants.ts';
import { limitPolling } from './polling.ts';
import type { Resources } from './resources.ts';
import type { OidcStore } from './store/port.ts';

export interface CibaDependencies {
  approvals: Pick<ApprovalService, 'put' | 'findByDigest'>;
  accounts: Pick<AccountService, 'findByLogin'>;
  clientOf: (providerClient: object) => Client | undefined;
  resources: Pick<Resources, 'narrowToPerson' | 'requested'>;
  revocations: Pick<RevocationList, 'isRevoked' | 'endedUpTo'>;
  store: OidcStore;
  clock: Clock;
  fingerprint: (secret: string) => string;
  intervalSeconds: number;
  /** Life of a request; what a client may ask for at most. */
  requestSeconds: number;
  /** Hints of one client that name nobody. */
  hintLimiter: Pick<RateLimiter, 'attempt'>;
  /** Whoever can reach the person tells them. Must not wait: the client does. */
  notify?: (request: ApprovalRequest) => void;
}

export interface Ciba {
  /** The library's `features.ciba`. */
  feature: NonNullable<NonNullable<Configuration['features']>['ciba']>;
  /** Its `ttl.BackchannelAuthenticationRequest`. */
  ttl: (ctx: KoaContextWithOIDC) => number;
  install: (provider: Provider) => void;
}

const MODEL = 'BackchannelAuthenticationRequest';

/** Shown to a person between other words: letters, digits and plain punctuation, nothing that hides or turns round. */
const BINDING_MESSAGE = /^(?! )[\p{L}\p{M}\p{N} .,:;!?#+/()_-]{1,64}(?<! )$/u;

/** Parameters of an authorization request that a page of consent would show, and this one does not. */
const NOT_SUPPORTED = ['claims', 'authorization_details'];

type BackchannelRequest = InstanceType<Provider['BackchannelAuthenticationRequest']> & {
  jti: string;
  clientId: string;
  accountId: string;
  sessionUid?: string;
  authTime?: number;
  errorDescription?: string;
};

export function createCiba(dependencies: CibaDependencies): Ciba {
  const { approvals, accounts, clientOf, resources, revocations, store, clock } = dependencies;

  /** The person by e-mail or user name, as at the sign-in. @throws AccessDenied after too many that name nobody */
  const findByHint = async (ctx: KoaContextWithOIDC, hint = ''): Promise<string | undefined> => {
    const attempt = await orTemporarilyUnavailable(() =>
      dependencies.hintLimiter.attempt(ctx.oidc.client?.clientId ?? ''),
    );
    if (attempt.kind === 'throttled') {
      ctx.set('Retry-After', String(attempt.retryAfterSeconds));
      throw denied('too many hints of this client named nobody');
    }
    const account = await orTemporarilyUnavailable(() => accounts.findByLogin(hint));
    if (!account || account.disabledAt) return undefined;
    await attempt.giveBack();
    return account.sub;
  };

  const put = async (ctx: KoaContextWithOIDC, request: BackchannelRequest): Promise<void> => {
    const account = ctx.oidc.account as unknown as ProviderAccount;
    const client = ctx.oidc.client && clientOf(ctx.oidc.client);
    if (!client) throw new Error('a backchannel request without a client');
    await resources.narrowToPerson(ctx, account);
    const { jti: authReqId } = request;
    const token = ctx.oidc.params?.['client_notification_token'];
    const bindingMessage = ctx.oidc.params?.['binding_message'];
    const putting = await orTemporarilyUnavailable(() =>
      approvals.put(
        {
          requestDigest: digest(MODEL, authReqId),
          accountId: account.id,
          clientId: client.clientId,
          asked: askedIn(ctx, resources),
          expiresAt: new Date(clock.now().getTime() + (request as { expiration: number }).expiration * 1000),
          bindingMessage: typeof bindingMessage === 'string' ? bindingMessage : undefined,
          ping:
            client.backchannelTokenDeliveryMode === 'ping' && typeof token === 'string'
              ? { authReqId, token }
              : undefined,
        },
        dependencies.fingerprint(authReqId),
      ),
    );
    if (putting.kind === 'too-many') {
      throw denied(
        putting.of === 'waiting'
          ? 'other requests of this client wait for this person already'
          : 'this client asked this person too often within the hour',
      );
    }
    dependencies.notify?.(putting.request);
  };

  /**
   * What the person decided, as the library wants it.
   *
   * @throws ExpiredToken, InvalidGrant
   */
  const applyDecision = async (
    provider: Provider,
    id: string,
    read: () => Promise<BackchannelRequest | undefined>,
  ): Promise<BackchannelRequest | undefined> => {
    const request = await read();
    const clientId = Provider.ctx?.oidc.client?.clientId;
    if (request && (request.clientId !== clientId || request.grantId !== undefined)) return request;
    const put = await orTemporarilyUnavailable(() => approvals.findByDigest(digest(MODEL, id)));
    if (!put || put.clientId !== clientId) return undefined;
    if (!put.decision && put.expiresAt <= clock.now()) {
      throw new errors.ExpiredToken('the person did not answer in time');
    }
    if (!request) {
      if (put.expiresAt <= clock.now()) throw new errors.ExpiredToken('the answer was not fetched in time');
      return undefined;
    }
    if (put.decision?.kind === 'denied') {
      return Object.assign(request, { error: 'access_denied', errorDescription: 'the person declined' });
    }
    if (put.decision?.kind !== 'approved') return request;
    await approve(provider, request, put, put.decision.authority);
    // Read once more: whoever spends it, or comes too late, has to know the grant.
    return read();
  };

  /** Repeated by every question until the tokens were fetched, to the same effect. */
  const approve = async (
    provider: Provider,
    request: BackchannelRequest,
    { asked, createdAt }: Pick<ApprovalRequest, 'asked' | 'createdAt'>,
    authority: Authority,
  ): Promise<void> => {
    const { grantId, sessionUid, acr, amr, authTime } = authority;
    const { accountId, clientId } = request;
    const issuedAt = new Date(authTime * 1000);
    if (revocations.isRevoked({ grantId, sessionUid, accountId, issuedAt })) {
      throw new errors.InvalidGrant('the person signed out after they had approved');
    }
    const consent = consentKey({ sub: accountId, clientId });
    if (revocations.isRevoked({ consent, issuedAt: createdAt })) {
      throw new errors.InvalidGrant('the person withdrew what the client may do after it had asked');
    }
    const { scopes, permissions } = asked;
    await saveGrant(provider, {
      id: grantId,
      accountId,
      clientId,
      scopes,
      claims: [],
      permissions,
      allowedAt: createdAt,
    });
    Object.assign(request, {
      grantId,
      sessionUid,
      authTime,
      ...(acr === undefined ? {} : { acr }),
      ...(amr === undefined ? {} : { amr }),
    });
    await request.save();
  };

  return {
    feature: {
      enabled: true,
      deliveryModes: ['poll', 'ping'],
      processLoginHint: findByHint,
      processLoginHintToken: () => {
        throw new errors.InvalidRequest('login_hint_token is not supported');
      },
      validateBindingMessage: (_ctx, message) => {
        if (message === undefined || BINDING_MESSAGE.test(message)) return;
        throw new errors.InvalidBindingMessage(
          'a binding message is 1 to 64 letters, digits, spaces and plain punctuation',
        );
      },
      validateRequestContext: (ctx) => {
        const given = NOT_SUPPORTED.find((name) => ctx.oidc.params?.[name] !== undefined);
        if (given) throw new errors.InvalidRequest(`${given} is not supported in a backchannel request`);
      },
      // A user code is not announced (OpenID CIBA Core 1.0 §4), so whatever is sent means nothing. But nothing else is
      // asked for between the person's look-up and the request, which must not count as older than it is.
      verifyUserCode: async ({ oidc }, { accountId }) => {
        await afterSecondOf(revocations.endedUpTo('account', accountId), clock);
        await afterWithdrawal({ accountId, clientId: oidc.client?.clientId ?? '' }, dependencies);
      },
      triggerAuthenticationDevice: async (ctx, request) => {
        try {
          await put(ctx, request as BackchannelRequest);
        } catch (error) {
          await store.destroy(MODEL, (request as BackchannelRequest).jti).catch(() => undefined);
          throw error;
        }
        Object.assign(ctx.body as object, { interval: dependencies.intervalSeconds });
      },
    },

    ttl: (ctx) => {
      const requested = Number(ctx.oidc.params?.['requested_expiry'] ?? dependencies.requestSeconds);
      return Math.max(1, Math.min(requested, dependencies.requestSeconds));
    },

    install: (provider) => {
      const model = provider[MODEL] as unknown as {
        find: (id: string, options?: object) => Promise<BackchannelRequest | undefined>;
        prototype: { consume: (this: BackchannelRequest) => Promise<void> };
      };
      const { find } = model;
      model.find = async function findDecided(this: typeof model, id, options) {
        const read = (): Promise<BackchannelRequest | undefined> => find.call(this, id, options);
        return Provider.ctx?.oidc.route === 'token' ? applyDecision(provider, id, read) : read();
      };
      limitPolling(provider, MODEL, dependencies);

      const { consume } = model.prototype;
      model.prototype.consume = async function consumeWhileSignedIn(this: BackchannelRequest) {
        // The tokens outlive the session that approved them; the approval does not. Judged along with the record.
        const { sessionUid, authTime = 0 } = this;
        if (sessionUid !== undefined) {
          currentUnitOfWork()?.requireLive({ sessionUid, issuedAt: new Date(authTime * 1000) });
        }
        // Its grant may be younger than a withdrawal that is not known here yet.
        const consent = consentKey({ sub: this.accountId, clientId: this.clientId });
        currentUnitOfWork()?.requireLive({ consent, issuedAt: new Date((this.iat ?? 0) * 1000) });
        return consume.call(this);
      };
      announceTruly(provider);
    },
  };
}

/** The library announces `user_code`, which there is none of, and signed requests, which we hold to other rules (JAR). */
function announceTruly(provider: Provider): void {
  provider.use((async (ctx: KoaContextWithOIDC, next: () => Promise<void>) => {
    await next();
    if (ctx.oidc?.route !== 'discovery' || typeof ctx.body !== 'object') return;
    Object.assign(ctx.body as object, {
      backchannel_user_code_parameter_supported: false,
      backchannel_authentication_request_signing_alg_values_supported: undefined,
    });
  }) as unknown as Parameters<Provider['use']>[0]);
}

function askedIn(ctx: KoaContextWithOIDC, resources: Pick<Resources, 'requested'>): Asked {
  const maxAge = ctx.oidc.params?.['max_age'];
  return {
    scopes: [...ctx.oidc.requestParamOIDCScopes],
    permissions: resources.requested(ctx),
    acrValues: wordsOf(ctx.oidc.params?.['acr_values']),
    ...(maxAge === undefined ? {} : { maxAgeSeconds: Number(maxAge) }),
  };
}

/** OpenID CIBA Core 1.0 §13: 403. */
function denied(reason: string): errors.AccessDenied {
  return Object.assign(new errors.AccessDenied(reason), { status: 403, statusCode: 403 });
}
