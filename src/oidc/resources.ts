/**
 * Resource indicators (RFC 8707): from the `resource` of a request to what an access token for that API holds, which is
 * what the client asked for, what the person may by their roles, and what they consented to, worked out anew for each
 * token. A machine client has permissions of its own. The rules themselves are in entitlement.ts.
 *
 * Nothing is spent for a request that cannot succeed: where a code or a refresh token is to be redeemed for an API,
 * that is decided before it is marked as spent.
 */
import {
  errors,
  type AccessToken,
  type AuthorizationCode,
  type ClientCredentials,
  type DeviceCode,
  type KoaContextWithOIDC,
  Provider,
  type RefreshToken,
  type ResourceServer,
} from 'oidc-provider';

import type { Api } from '../apis/api.ts';
import type { ApiService } from '../apis/service.ts';
import { intersect, narrowRequest, permittedByRoles, permittedToClient, wordsOf } from './entitlement.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';
import { forgetFormerApis, predates } from './former-apis.ts';

/** Permissions by API. */
export type PermissionsByApi = Record<string, string[]>;

export interface Resources {
  /** The library's `getResourceServerInfo`. @throws InvalidTarget, InvalidScope */
  info: (ctx: KoaContextWithOIDC, identifier: string) => Promise<ResourceServer>;
  /** Takes from an authorization request what cannot be given, before anybody is asked. @throws InvalidScope */
  narrowRequest: (ctx: KoaContextWithOIDC) => Promise<void>;
  /** Takes from it what the person may not do. */
  narrowToPerson: (ctx: KoaContextWithOIDC, account: ProviderAccount) => Promise<void>;
  /** Whether a token is for the API that was granted, where a token request names none and could be for userinfo. */
  usesGranted: (ctx: KoaContextWithOIDC, source: object) => boolean;
  /** What is left of it, after both. */
  requested: (ctx: KoaContextWithOIDC) => PermissionsByApi;
  /** The claims of an access token for an API (RFC 9068 §2.2), whatever its format. */
  tokenClaims: (
    ctx: KoaContextWithOIDC,
    token: AccessToken | ClientCredentials,
  ) => Promise<Record<string, unknown> | undefined>;
  /** The decision itself, for a refresh token that is not spent. @throws InvalidTarget, InvalidScope */
  checkTarget: (ctx: KoaContextWithOIDC, source: GrantSource) => Promise<void>;
  /** Puts the decision before the spending. */
  checkBeforeSpending: (provider: Provider) => void;
  /** Takes from grants what they hold at APIs that are gone. */
  forgetFormer: (provider: Provider) => void;
}

type GrantSource = AuthorizationCode | DeviceCode | RefreshToken;

export function createResources({
  mayReach,
  hasKeyFor,
  apis,
  detailsFor,
  oidcScopes,
  findAccount,
}: {
  /** Whether the client may ask for the API at all. */
  mayReach: (providerClient: object | undefined, identifier: string) => boolean;
  /** Whether there is a key that signs by the algorithm. */
  hasKeyFor: (alg: string) => boolean;
  apis: ApiService;
  /** The authorization details of a code or refresh token that are for the API. */
  detailsFor: (source: object, api: string) => readonly object[];
  oidcScopes: ReadonlySet<string>;
  findAccount: (ctx: KoaContextWithOIDC, sub: string) => Promise<ProviderAccount | undefined>;
}): Resources {
  const findApi = (identifier: string): Promise<Api | undefined> =>
    orTemporarilyUnavailable(() => apis.find(identifier));
  const getApi = async (identifier: string): Promise<Api> => {
    const api = await findApi(identifier);
    if (!api) throw new errors.InvalidTarget('the resource is no API that is registered here');
    if (api.accessTokenFormat === 'jwt' && !hasKeyFor(api.signingAlg)) {
      throw new errors.InvalidTarget(`there is no ${api.signingAlg} key to sign tokens of that API with`);
    }
    return api;
  };
  const permittedTo = async (account: ProviderAccount, api: Api): Promise<string[]> =>
    permittedByRoles(api, await account.rolesPermitting(api.identifier));

  /** RFC 6749 §4.4: asking for nothing asks for all that the client has. */
  const permittedToMachine = async (ctx: KoaContextWithOIDC, api: Api): Promise<string[]> => {
    const { client, params } = ctx.oidc;
    const own = await orTemporarilyUnavailable(() =>
      apis.permissionsOfClient(client!.clientId, api.identifier),
    );
    const permitted = permittedToClient(api, own);
    if (params!['scope'] === undefined && permitted.length > 0) params!['scope'] = permitted.join(' ');
    if (intersect(wordsOf(params!['scope']), permitted).length === 0) throw nothingLeft(ctx);
    return permitted;
  };

  const available = (ctx: KoaContextWithOIDC, api: Api): Promise<string[]> | string[] => {
    if (ctx.oidc.route !== 'token') return api.permissions.map(({ name }) => name);
    const account = ctx.oidc.account as unknown as ProviderAccount | undefined;
    return account ? permittedTo(account, api) : permittedToMachine(ctx, api);
  };

  /** @throws InvalidTarget, InvalidScope: with the same outcome as later, but before anything is spent */
  const checkTarget = async (ctx: KoaContextWithOIDC, source: GrantSource): Promise<void> => {
    const requested = wordsOf(ctx.oidc.params?.['scope'] ?? source.scope);
    const identifier = targetOf(ctx, source, requested);
    if (identifier === undefined) return;
    const api = await getApi(identifier);
    if (predates(givenAt(source), api)) {
      throw new errors.InvalidTarget('the API of that name for which the person was asked is gone');
    }
    if (!api.allowOfflineAccess && wordsOf(source.scope).includes('offline_access')) {
      throw new errors.InvalidTarget('the API gives no access while the person is away');
    }
    const [account, grant] = await Promise.all([
      findAccount(ctx, source.accountId ?? ''),
      ctx.oidc.provider.Grant.find(source.grantId ?? ''),
    ]);
    // Refused by the library, in its own words.
    if (!account || !grant) return;
    if (detailsFor(source, identifier).length > 0) return;
    const consented = wordsOf(grant.getResourceScope(identifier));
    if (intersect(requested, consented, await permittedTo(account, api)).length === 0) throw nothingLeft(ctx);
  };

  return {
    info: async (ctx, identifier) => {
      const api = await getApi(identifier);
      if (!mayReach(ctx.oidc.client, identifier)) {
        throw new errors.InvalidTarget('the API is not open to clients that no operator registered');
      }
      return {
        audience: api.identifier,
        scope: (await available(ctx, api)).join(' '),
        accessTokenFormat: api.accessTokenFormat,
        ...(api.accessTokenTtlSeconds === undefined ? {} : { accessTokenTTL: api.accessTokenTtlSeconds }),
        ...(api.accessTokenFormat === 'jwt' ? { jwt: { sign: { alg: api.signingAlg } } } : {}),
      };
    },

    narrowRequest: async ({ oidc }) => {
      const identifiers = Object.keys(oidc.resourceServers ?? {});
      if (identifiers.length === 0 || !oidc.params) return;
      const narrowed = narrowRequest({
        requested: wordsOf(oidc.params['scope']),
        oidcScopes,
        hasDetails: oidc.params['authorization_details'] !== undefined,
        apis: await Promise.all(identifiers.map(getApi)),
      });
      if (narrowed.kind === 'nothing') {
        throw new errors.InvalidScope(
          'the request names an API and asks for none of its permissions',
          wordsOf(oidc.params['scope']).join(' '),
        );
      }
      if (oidc.params['scope'] !== undefined) oidc.params['scope'] = narrowed.scopes.join(' ');
    },

    usesGranted,

    narrowToPerson: async ({ oidc }, account) => {
      for (const [identifier, server] of Object.entries(oidc.resourceServers ?? {})) {
        const permitted = await permittedTo(account, await getApi(identifier));
        server.scope = intersect(wordsOf(server.scope), permitted).join(' ');
      }
    },

    requested: ({ oidc }) =>
      Object.fromEntries(
        Object.entries(oidc.resourceServers ?? {})
          .map(([identifier, server]) => [
            identifier,
            intersect(wordsOf(oidc.params?.['scope']), wordsOf(server.scope)),
          ])
          .filter(([, permissions]) => permissions!.length > 0),
      ) as PermissionsByApi,

    tokenClaims: async (ctx, token) => {
      if (typeof token.aud !== 'string') return undefined;
      const permissions = wordsOf(token.scope);
      const account = ctx.oidc.account as unknown as ProviderAccount | undefined;
      if (token.kind === 'ClientCredentials' || !account) return { sub: token.clientId, permissions };
      const { entities } = ctx.oidc;
      const { authTime, acr, amr } = (entities.AuthorizationCode ??
        entities.DeviceCode ??
        entities.BackchannelAuthenticationRequest ??
        entities.RefreshToken ??
        {}) as Partial<GrantSource>;
      const roles = await account.rolesPermitting(token.aud);
      return {
        permissions,
        roles: roles.map(({ role }) => role),
        ...(authTime === undefined ? {} : { auth_time: authTime }),
        ...(acr === undefined ? {} : { acr }),
        ...(amr === undefined ? {} : { amr }),
      };
    },

    checkTarget,
    forgetFormer: (provider) => forgetFormerApis(provider, findApi),
    checkBeforeSpending: (provider) => {
      for (const model of [
        provider.AuthorizationCode,
        provider.DeviceCode,
        provider.BackchannelAuthenticationRequest,
        provider.RefreshToken,
      ]) {
        const prototype = model.prototype as unknown as { consume: (this: GrantSource) => Promise<void> };
        const { consume } = prototype;
        prototype.consume = async function checked(this: GrantSource) {
          if (Provider.ctx) await checkTarget(Provider.ctx, this);
          return consume.call(this);
        };
      }
    },
  };
}

/** When the person gave it: a refresh token is as old as the first of its family. */
function givenAt(source: GrantSource): number | undefined {
  const { iiat, iat } = source as { iiat?: number; iat?: number };
  return iiat ?? iat;
}

/** Details are for an API; who wants to ask userinfo none the less says so by a scope. */
function usesGranted({ oidc }: Pick<KoaContextWithOIDC, 'oidc'>, source: object): boolean {
  return (source as { rar?: unknown }).rar !== undefined && oidc.params?.['scope'] === undefined;
}

/** The API that the token is to be for: as the library resolves it, for userinfo where none is named. */
function targetOf(
  { oidc }: KoaContextWithOIDC,
  source: GrantSource,
  requested: readonly string[],
): string | undefined {
  const named = oidc.params?.['resource'];
  const target =
    named ?? (requested.includes('openid') && !usesGranted({ oidc }, source) ? undefined : source.resource);
  if (target === undefined || (Array.isArray(target) && target.length === 0)) return undefined;
  if (typeof target !== 'string') {
    throw new errors.InvalidTarget('a token is for one API: name it by one resource parameter');
  }
  if (!source.resourceIndicators.has(target)) {
    throw new errors.InvalidTarget('the person was not asked for access to that API');
  }
  return target;
}

function nothingLeft(ctx: KoaContextWithOIDC): errors.InvalidScope {
  return new errors.InvalidScope(
    'none of the requested permissions is given at this API',
    wordsOf(ctx.oidc.params?.['scope']).join(' '),
  );
}
