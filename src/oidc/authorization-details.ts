/**
 * Authorization details (RFC 9396): what a client asks for in more words than a scope has, checked against types that
 * operators register, told to the person, and given in tokens. They belong to one request: nothing of them is kept in the
 * grant, which later requests share, but in the code and in the refresh tokens that come of it.
 *
 * A person is asked about them every time, unless the operator lets a type be remembered and the very same was allowed
 * before. An access token holds those of its API, and at most what the person allowed.
 */
import {
  type AccessToken,
  type AuthorizationCode,
  type ClientCredentials,
  type DeviceCode,
  errors,
  type KoaContextWithOIDC,
  Provider,
  type RefreshToken,
} from 'oidc-provider';

import {
  type AuthorizationDetail,
  canonicalDetail,
  type DetailRow,
  faultOfDetail,
  isWithin,
  presentDetail,
} from '../apis/authorization-detail.ts';
import type { AuthorizationType } from '../apis/authorization-type.ts';
import type { AuthorizationTypeService } from '../apis/type-service.ts';
import type { Client } from '../clients/client.ts';
import type { Queryable } from '../platform/database.ts';
import { findRememberedDetails } from './consents.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';

const MAX_BYTES = 8_192;
const MAX_DETAILS = 10;

/** What a person is asked about one detail. */
export interface PresentedDetail {
  /** The type's name: "Make a payment". */
  title: string;
  /** Where it is for. */
  apiName: string;
  rows: DetailRow[];
  detail: AuthorizationDetail;
  isRemembered: boolean;
}

interface WithDetails {
  rar?: AuthorizationDetail[] | undefined;
}

export interface AuthorizationDetails {
  /** The library's feature; to be asked for anew when the types change. */
  feature: () => object;
  /** The APIs that a request is for by its details, where it names none. */
  defaultResource: (
    ctx: KoaContextWithOIDC,
    client?: unknown,
    oneOf?: readonly string[],
  ) => Promise<string | string[] | undefined>;
  /** Whether the person must be asked about the details of this request, and has not been in this pass. */
  isDue: (ctx: KoaContextWithOIDC, client: Client) => Promise<boolean>;
  /** Whether there is something in this request that a grant must stand for although nobody need be asked. */
  isGiven: (ctx: KoaContextWithOIDC, client: Client) => Promise<boolean>;
  /** What of a request (the parameter as it came) a person can be asked about. */
  present: (parameter: unknown) => PresentedDetail[];
  /** Those of a code or refresh token that are for the API. */
  detailsFor: (source: object, api: string) => AuthorizationDetail[];
  /** Puts the narrowing of a token request before the spending of what it redeems. */
  checkBeforeSpending: (provider: Provider) => void;
}

/** A note of ours in the pass's result: the canonical forms of what the page showed when the person said yes. */
export const SHOWN_DETAILS = 'shown_details';

type GrantSource = AuthorizationCode | DeviceCode | RefreshToken;

export function createAuthorizationDetails({
  types,
  clientOf,
  db,
}: {
  types: Pick<AuthorizationTypeService, 'current'>;
  clientOf: (providerClient: object) => Client | undefined;
  db: Queryable;
}): AuthorizationDetails {
  const typeOf = ({ type }: AuthorizationDetail): AuthorizationType | undefined => types.current().get(type);
  const isGood = (detail: AuthorizationDetail): boolean => {
    const type = typeOf(detail);
    return type !== undefined && faultOfDetail(type, detail) === undefined;
  };
  const detailsFor = (source: object, api: string): AuthorizationDetail[] =>
    ((source as WithDetails).rar ?? []).filter((detail) => typeOf(detail)?.api === api);

  /** The library calls it for each detail of a request, at every endpoint that takes them. */
  const validate = async (ctx: KoaContextWithOIDC, detail: AuthorizationDetail): Promise<void> => {
    const type = typeOf(detail);
    if (!type) throw refuse('the type is not known here');
    const client = ctx.oidc.client && clientOf(ctx.oidc.client);
    if (!client?.authorizationDetailsTypes?.includes(type.type)) {
      throw refuse('the type is not allowed for this client');
    }
    refuseExcess(ctx.oidc.params?.['authorization_details']);
    const fault = faultOfDetail(type, detail);
    if (fault !== undefined) throw refuse(fault);
    // Of those alone that are good: how deep the others are is not known.
    const good = requestedIn(ctx).filter(isGood).map(canonicalDetail);
    if (new Set(good).size < good.length) throw refuse('one of them stands there twice');
    const named = ctx.oidc.params?.['resource'];
    if (named !== undefined && ![named].flat().includes(type.api)) {
      throw new errors.InvalidTarget('authorization_details are for an API that resource does not name');
    }
  };

  const isRemembered = async (ctx: KoaContextWithOIDC, client: Client): Promise<boolean> => {
    const details = requestedIn(ctx);
    const account = ctx.oidc.account as unknown as ProviderAccount | undefined;
    if (!account || client.consent !== 'once') return false;
    if (!details.every((detail) => typeOf(detail)?.isRemembered === true)) return false;
    const remembered = await orTemporarilyUnavailable(() =>
      findRememberedDetails(db, { accountId: account.id, clientId: client.clientId }),
    );
    return details.every((detail) => remembered.has(canonicalDetail(detail)));
  };

  /** What a token may hold of what the request asks for. @throws InvalidAuthorizationDetails */
  const narrow = (
    ctx: KoaContextWithOIDC,
    granted: readonly AuthorizationDetail[],
  ): AuthorizationDetail[] => {
    if (ctx.oidc.params?.['authorization_details'] === undefined) return granted.filter(isGood);
    const asked = requestedIn(ctx);
    if (!asked.every((detail) => granted.some((one) => isGood(one) && isWithin(detail, one)))) {
      throw refuse('more is asked for than was granted');
    }
    return asked;
  };

  const forMachine = (ctx: KoaContextWithOIDC): AuthorizationDetail[] => {
    const client = ctx.oidc.client && clientOf(ctx.oidc.client);
    // Where people sign in to the client, it is they who give such details.
    if (client?.kind !== 'machine')
      throw refuse('a person has to allow them: ask at the authorization endpoint');
    return requestedIn(ctx);
  };

  const forAccessToken = async (
    ctx: KoaContextWithOIDC,
    token: AccessToken | ClientCredentials,
    source?: GrantSource,
  ): Promise<AuthorizationDetail[] | undefined> => {
    const details = source ? narrow(ctx, (source as WithDetails).rar ?? []) : forMachine(ctx);
    const api = (token as { resourceServer?: { audience?: unknown } }).resourceServer?.audience;
    const own = details.filter((detail) => typeOf(detail)?.api === api);
    if (ctx.oidc.params?.['authorization_details'] !== undefined && own.length < details.length) {
      throw refuse('they are for another API than the token');
    }
    return own.length > 0 ? own : undefined;
  };

  const forGrantSource = async (ctx: KoaContextWithOIDC): Promise<AuthorizationDetail[] | undefined> => {
    const { result } = ctx.oidc;
    const shown = result?.['consent'] ? result[SHOWN_DETAILS] : undefined;
    const details = requestedIn(ctx)
      .filter(isGood)
      .filter((detail) => !Array.isArray(shown) || shown.includes(canonicalDetail(detail)));
    return details.length > 0 ? details : undefined;
  };

  return {
    feature: () => ({
      enabled: types.current().size > 0,
      types: Object.fromEntries([...types.current().keys()].map((type) => [type, { validate }])),
      // Also where no type is left: what was given before is asked about here.
      authorizationDetailsForGrantSource: forGrantSource,
      authorizationDetailsForAccessToken: forAccessToken,
      authorizationDetailsForIntrospection: async (_ctx: KoaContextWithOIDC, token: WithDetails) =>
        token.rar?.filter(isGood),
    }),

    defaultResource: async (ctx, _client, oneOf) => {
      if (oneOf) return [...oneOf];
      if (types.current().size === 0) return undefined;
      const apis = new Set(requestedIn(ctx).flatMap((detail) => typeOf(detail)?.api ?? []));
      return apis.size > 1 ? [...apis] : [...apis][0];
    },

    isDue: async (ctx, client) => {
      if (types.current().size === 0 || requestedIn(ctx).length === 0) return false;
      if ((ctx.oidc.result as { consent?: object } | undefined)?.consent) return false;
      return !(await isRemembered(ctx, client));
    },
    isGiven: async (ctx, client) =>
      types.current().size > 0 && requestedIn(ctx).length > 0 && isRemembered(ctx, client),

    present: (parameter) =>
      parse(parameter).flatMap((detail) => {
        const type = typeOf(detail);
        if (!type || faultOfDetail(type, detail) !== undefined) return [];
        const { name: title, apiName, isRemembered: remembered } = type;
        return [{ title, apiName, rows: presentDetail(type, detail), detail, isRemembered: remembered }];
      }),

    detailsFor,

    checkBeforeSpending: (provider) => {
      for (const model of [provider.AuthorizationCode, provider.DeviceCode, provider.RefreshToken]) {
        const prototype = model.prototype as unknown as { consume: (this: GrantSource) => Promise<void> };
        const { consume } = prototype;
        prototype.consume = async function checked(this: GrantSource) {
          if (Provider.ctx) narrow(Provider.ctx, (this as WithDetails).rar ?? []);
          return consume.call(this);
        };
      }
    },
  };
}

/**
 * The library takes a client that names no types for one that may use none, and one that names a type which is not there
 * any more for no client at all: so it is told after it was made, and `validate` has the last word.
 */
export function allowDetailsTypes(providerClient: object, { authorizationDetailsTypes = [] }: Client): void {
  Object.assign(providerClient, { authorizationDetailsTypes: [...authorizationDetailsTypes] });
}

/** For the audit log: the types, and a keyed hash of each detail, whose values can be personal. */
export function detailsForRecord(
  details: readonly AuthorizationDetail[] | undefined,
  fingerprint: (secret: string) => string,
): { authorization_details?: { type: string; fingerprint: string }[] } {
  if (!details || details.length === 0) return {};
  return {
    authorization_details: details.map((detail) => ({
      type: detail.type,
      fingerprint: fingerprint(canonicalDetail(detail)),
    })),
  };
}

function requestedIn(ctx: KoaContextWithOIDC): AuthorizationDetail[] {
  return parse(ctx.oidc.params?.['authorization_details']);
}

/** What the library has looked at already, or looks at next and refuses. */
function parse(parameter: unknown): AuthorizationDetail[] {
  if (typeof parameter !== 'string') return [];
  try {
    const parsed: unknown = JSON.parse(parameter);
    return Array.isArray(parsed) ? parsed.filter(isDetail) : [];
  } catch {
    return [];
  }
}

function isDetail(value: unknown): value is AuthorizationDetail {
  return typeof (value as { type?: unknown } | null)?.type === 'string';
}

/** @throws InvalidAuthorizationDetails */
function refuseExcess(parameter: unknown): void {
  if (typeof parameter === 'string' && Buffer.byteLength(parameter) > MAX_BYTES) {
    throw refuse(`they are longer than ${MAX_BYTES} bytes`);
  }
  if (parse(parameter).length > MAX_DETAILS) throw refuse(`there are more than ${MAX_DETAILS} of them`);
}

function refuse(reason: string): errors.InvalidAuthorizationDetails {
  return new errors.InvalidAuthorizationDetails(reason);
}
