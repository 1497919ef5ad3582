/**
 * Access tokens that are JWTs (RFC 9068), presented here again: at introspection (RFC 7662) and revocation (RFC 7009).
 * The library refuses them there, for it keeps no row of them; ours need none. A token carries what it stands on (its
 * grant and session, sealed), and the revocations in memory decide.
 *
 * So that one path serves both formats, the library is given a JWT under a mark, behind which it does not see one. It
 * authenticates the client as ever and looks the token up; the look-up (adapter.ts) ends here, where the signature is
 * checked and the token told as it would have been stored. At every other place a JWT stays what it is: userinfo, for
 * one, does not know it.
 */
import { createLocalJWKSet, decodeProtectedHeader, errors, type JWK, jwtVerify } from 'jose';
import { type JWTStructured, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import { z } from 'zod';

import { randomToken } from '../platform/ids.ts';
import type { Sealer } from '../platform/seal.ts';
import type { Model, StoredPayload } from './store/port.ts';
import { exchangeOf, exchangeSchema } from './token-exchange/authority.ts';

export interface StructuredTokens {
  /** The library's customizer of JWTs: puts in what the token stands on. */
  carry: (token: CarriedToken, parts: JWTStructured) => void;
  /** Lets JWTs through at introspection and revocation. */
  letThrough: (provider: Provider) => void;
  /** A JWT behind the mark, for a look-up; any other token as it is. */
  mark: (token: string) => string;
  /** The JWT behind a mark; undefined for every other id. */
  behind: (id: string) => string | undefined;
  /** The token as it would have been stored, where it is one of ours, valid, and of that model. */
  read: (model: Model, token: string) => Promise<StoredPayload | undefined>;
}

interface CarriedToken {
  grantId?: string | undefined;
  accountId?: string | undefined;
  sessionUid?: string | undefined;
  expiresWithSession?: boolean | undefined;
}

/** The claim with what the token stands on. Sealed: APIs have no use for it, and could tell sessions by it. */
const CARRIED_CLAIM = 'gth';
const SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'];
const ROUTES = new Set(['introspection', 'revocation']);
/** Where a token may be presented: there, and in exchange for another. */
const LOOKED_UP_AT = new Set([...ROUTES, 'token']);
/** Nobody outside can write it. */
const MARK = `${randomToken()}:`;

const carriedSchema = z.strictObject({
  grantId: z.string(),
  accountId: z.string(),
  sessionUid: z.string().optional(),
  exchange: exchangeSchema.optional(),
});
const claimsSchema = z.object({
  sub: z.string(),
  aud: z.string(),
  jti: z.string(),
  iat: z.number(),
  exp: z.number(),
  client_id: z.string(),
  scope: z.string().optional(),
  auth_time: z.number().optional(),
  authorization_details: z.array(z.looseObject({ type: z.string() })).optional(),
  acr: z.string().optional(),
  amr: z.array(z.string()).optional(),
  permissions: z.array(z.string()).optional(),
  roles: z.array(z.string()).optional(),
  cnf: z.looseObject({ jkt: z.string().optional(), 'x5t#S256': z.string().optional() }).optional(),
  act: z.looseObject({ sub: z.string() }).optional(),
  [CARRIED_CLAIM]: z.string().optional(),
});

/** @param keys the keys that are published now, retired ones included */
export function createStructuredTokens({
  issuer,
  keys,
  sealer,
}: {
  issuer: string;
  keys: readonly JWK[];
  sealer: Sealer;
}): StructuredTokens {
  const keySet = createLocalJWKSet({ keys: keys.map(publicPart) });

  return {
    carry: ({ grantId, accountId, sessionUid, expiresWithSession }, { payload }) => {
      if (!grantId || !accountId) return;
      const exchange = exchangeOf(Provider.ctx)?.exchange;
      const carried = {
        grantId,
        accountId,
        ...(expiresWithSession && sessionUid ? { sessionUid } : {}),
        ...(exchange ? { exchange } : {}),
      };
      payload[CARRIED_CLAIM] = sealer.seal(JSON.stringify(carried), contextOf(String(payload['jti'])));
    },

    letThrough: (provider) => {
      // The library keeps the parameters of a request there as soon as it has read them.
      const context = (provider as unknown as { OIDCContext: { prototype: object } }).OIDCContext.prototype;
      Object.defineProperty(context, 'params', {
        configurable: true,
        set(this: KoaContextWithOIDC['oidc'], params: Record<string, unknown>) {
          if (ROUTES.has(this.route) && looksStructured(params['token'])) {
            params['token'] = `${MARK}${String(params['token'])}`;
          }
          Object.defineProperty(this, 'params', {
            value: params,
            writable: true,
            enumerable: true,
            configurable: true,
          });
        },
      });
    },

    mark: (token) => (looksStructured(token) ? `${MARK}${token}` : token),
    behind: (id) => (LOOKED_UP_AT.has(Provider.ctx?.oidc.route ?? '') ? unmarked(id) : undefined),

    read: async (model, token) => {
      const claims = await verified(token, { issuer, keySet });
      if (!claims) return undefined;
      const { [CARRIED_CLAIM]: sealed, cnf, sub, client_id: clientId, auth_time: authTime } = claims;
      const kind = sealed === undefined ? 'ClientCredentials' : 'AccessToken';
      if (kind !== model) return undefined;
      const carried = sealed === undefined ? undefined : open(sealed, claims.jti, sealer);
      if (sealed !== undefined && !carried) return undefined;
      const { acr, amr, permissions, roles, act } = claims;
      return withoutUndefined({
        kind,
        jti: claims.jti,
        iat: claims.iat,
        exp: claims.exp,
        aud: claims.aud,
        clientId,
        scope: claims.scope,
        rar: claims.authorization_details,
        jkt: cnf?.jkt,
        'x5t#S256': cnf?.['x5t#S256'],
        ...carried,
        ...(carried?.sessionUid === undefined ? {} : { expiresWithSession: true }),
        authTime,
        extra: withoutUndefined({
          ...(carried ? {} : { sub }),
          permissions,
          roles,
          auth_time: authTime,
          acr,
          amr,
          act,
        }),
      });
    },
  };
}

/** What the client presented, whatever its format. */
export function presentedToken({ oidc }: KoaContextWithOIDC): string {
  const token = oidc.params?.['token'];
  return typeof token === 'string' ? (unmarked(token) ?? token) : '';
}

function unmarked(id: string): string | undefined {
  return id.startsWith(MARK) ? id.slice(MARK.length) : undefined;
}

/** As the library would tell it apart (RFC 7515 §3.1): a header that is one. */
function looksStructured(token: unknown): boolean {
  if (typeof token !== 'string') return false;
  try {
    return Boolean(decodeProtectedHeader(token));
  } catch {
    return false;
  }
}

/** RFC 9068 §4; an algorithm or type of another kind of token is refused before the signature is looked at. */
async function verified(
  token: string,
  { issuer, keySet }: { issuer: string; keySet: ReturnType<typeof createLocalJWKSet> },
): Promise<z.infer<typeof claimsSchema> | undefined> {
  try {
    const { payload } = await jwtVerify(token, keySet, { issuer, typ: 'at+jwt', algorithms: SIGNING_ALGS });
    return claimsSchema.safeParse(payload).data;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Undefined where no secret key fits any more: nobody can tell what the token stands on, so it does not. */
function open(sealed: string, jti: string, sealer: Sealer): z.infer<typeof carriedSchema> | undefined {
  try {
    return carriedSchema.parse(JSON.parse(sealer.open(sealed, contextOf(jti)).toString()));
  } catch {
    return undefined;
  }
}

function contextOf(jti: string): string {
  return `access_token:${jti}`;
}

export function publicPart({ kty, kid, alg, use, n, e, crv, x, y }: JWK): JWK {
  return withoutUndefined({ kty, kid, alg, use, n, e, crv, x, y });
}

function withoutUndefined(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
