/**
 * How long access can be renewed, and by what: the life of refresh tokens, and whether each refresh gives a new one.
 *
 * A refresh token that does not rotate (clients/refresh-options.ts says whose) is never spent: using it puts off the
 * end of its idle time, and nothing else about it changes. A retry gets an access token of its own.
 *
 * Elsewhere: the rules (refresh-rules.ts), that of those that rotate each has one successor (adapter.ts), and the
 * binding to a key or certificate, which the library checks before it comes here.
 */
import { errors, type KoaContextWithOIDC, type Provider, type RefreshToken } from 'oidc-provider';

import type { ApiService } from '../apis/service.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import { rotatesRefreshToken } from '../clients/refresh-options.ts';
import { AppError } from '../platform/errors.ts';
import type { ProviderAccount } from './find-account.ts';
import {
  createFindRefreshLimits,
  type RefreshLifetimes,
  type RefreshLimits,
  refreshTokenSeconds,
  strictest,
  whyRenewsNothing,
} from './refresh-rules.ts';
import type { OidcStore } from './store/port.ts';

/** What a refresh token and a code have in common. */
interface Source {
  scope?: string | undefined;
  resource?: string | string[] | undefined;
}

export interface RefreshTokens {
  /** The library's `issueRefreshToken`. */
  issues: (
    ctx: KoaContextWithOIDC,
    client: { grantTypeAllowed: (type: string) => boolean },
    source: object,
  ) => Promise<boolean>;
  /** The library's `rotateRefreshToken`. @throws InvalidGrant, InvalidTarget, InvalidScope */
  rotates: (ctx: KoaContextWithOIDC) => Promise<boolean>;
  /** The library's `ttl.RefreshToken`. */
  secondsLeft: (ctx: KoaContextWithOIDC, token: { totalLifetime: () => number }) => number;
  /** Puts off the end of those that were used and kept. */
  bind: (provider: Provider) => void;
}

/** A write for every use would be one too many: the end is put off when so much of the idle time has gone. */
const PUT_OFF_AFTER = 0.05;

export interface RefreshTokensDependencies {
  ttl: RefreshLifetimes;
  apis: Pick<ApiService, 'find'>;
  store: Pick<OidcStore, 'find' | 'upsert'>;
  clientOf: (providerClient: object) => Client | undefined;
  /** What would be checked before the token is spent, where it is. @throws InvalidTarget, InvalidScope */
  checkTarget: (ctx: KoaContextWithOIDC, token: RefreshToken) => Promise<void>;
}

/** A backchannel request belongs to no session that could end its refresh tokens: they need `offline_access`. */
function isForOnce(source: object): boolean {
  const { kind, scopes } = source as { kind?: string; scopes?: Set<string> };
  return kind === 'BackchannelAuthenticationRequest' && !scopes?.has('offline_access');
}

export function createRefreshTokens(dependencies: RefreshTokensDependencies): RefreshTokens {
  const { ttl, store, clientOf } = dependencies;
  const findLimits = createFindRefreshLimits(dependencies);
  /** Worked out where there is time to look things up, for the library asks for the lifetime in passing. */
  const limits = new WeakMap<object, RefreshLimits>();

  const prepare = async ({ req, oidc }: KoaContextWithOIDC, { resource }: Source): Promise<RefreshLimits> => {
    const found = await findLimits(oidc.client && clientOf(oidc.client), resource);
    limits.set(req, found);
    return found;
  };

  const isSpent = async ({ jti }: RefreshToken): Promise<boolean> =>
    (await store.find('RefreshToken', jti))?.['consumed'] !== undefined;

  const secondsLeft: RefreshTokens['secondsLeft'] = ({ req }, token) =>
    refreshTokenSeconds(limits.get(req) ?? strictest(ttl, []), token.totalLifetime());

  /** Only ever later, and never beyond the family's end. */
  const putOffEnd = async (
    token: RefreshToken,
    { idleSeconds, absoluteSeconds }: RefreshLimits,
  ): Promise<void> => {
    const now = Math.floor(Date.now() / 1000);
    const secondsMore = Math.min(idleSeconds, absoluteSeconds - token.totalLifetime());
    const exp = now + secondsMore;
    if (exp - Number(token.exp) < idleSeconds * PUT_OFF_AFTER) return;
    const payload = await store.find('RefreshToken', token.jti);
    if (!payload) return;
    try {
      await store.upsert('RefreshToken', token.jti, { ...payload, exp }, secondsMore);
    } catch (error) {
      // It was revoked meanwhile, and stays so.
      if (!(error instanceof AppError && error.code === 'grant_ended')) throw error;
    }
  };

  return {
    issues: async (ctx, client, source) => {
      if (!client.grantTypeAllowed('refresh_token') || isForOnce(source)) return false;
      await prepare(ctx, source);
      return true;
    },

    rotates: async (ctx) => {
      const { RefreshToken: token } = ctx.oidc.entities;
      const client = ctx.oidc.client && clientOf(ctx.oidc.client);
      if (!token || !client) throw new Error('a refresh without a token or a client');
      // The library says so when the token has been spent.
      if (ctx.get('DPoP') && (client.tlsClientCertificateBoundAccessTokens || token['x5t#S256'])) {
        throw new errors.InvalidRequest('multiple proof-of-possession mechanisms are not allowed');
      }
      const refusal = await whyRenewsNothing({
        client,
        scope: token.scope,
        person: ctx.oidc.account as unknown as ProviderAccount,
        livedSeconds: token.totalLifetime(),
        limits: await prepare(ctx, token),
      });
      if (refusal !== undefined) throw new errors.InvalidGrant(refusal);
      // One that was spent while the client's tokens rotated stays so: whoever comes with it meets the judge of that.
      if (rotatesRefreshToken(client, token) || (await isSpent(token))) return true;
      await dependencies.checkTarget(ctx, token);
      return false;
    },

    secondsLeft,

    bind: (provider) => {
      provider.on('grant.success', (ctx) => {
        const { RefreshToken: token, RotatedRefreshToken: rotated } = ctx.oidc.entities;
        const found = limits.get(ctx.req);
        if (!token || !found || rotated || ctx.oidc.params?.['grant_type'] !== 'refresh_token') return;
        currentUnitOfWork()?.onCommit(() => putOffEnd(token, found));
      });
    },
  };
}
