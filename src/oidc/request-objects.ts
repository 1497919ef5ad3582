/**
 * Signed authorization requests (JAR, RFC 9101), by value or pushed; none is fetched from anywhere. The library checks
 * the signature with the client's registered keys (client-keys.ts), `iss`, `aud`, `exp` and `nbf`, refuses one request
 * inside another, and passes over every parameter outside. Here stands what keeps other tokens that the client signs
 * with the same keys from being taken for a request (§10.8), and a request from being good for ever.
 *
 * A request object may be opened again while it lives, for people reload pages and go back. Where it must count once,
 * it is pushed (RFC 9126 §4): then its `request_uri` does.
 */
import { decodeJwt } from 'jose';
import { type Configuration, errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider';

type RequestObjects = NonNullable<NonNullable<Configuration['features']>['requestObjects']>;

const MAX_LIFE_SECONDS = 3_600;
const MAX_AHEAD_SECONDS = 60;
/** Of objects and lists in a request, one within the other. */
const MAX_DEPTH = 32;
/** §10.8: its own type, or none in particular. */
const TYPES: ReadonlySet<string> = new Set(['oauth-authz-req+jwt', 'jwt']);
/** Where requests are taken. */
const ROUTES: ReadonlySet<string> = new Set([
  'authorization',
  'pushed_authorization_request',
  'device_authorization',
  'backchannel_authentication',
]);
/** Objects by their nature. */
const STRUCTURED: ReadonlySet<string> = new Set(['claims', 'authorization_details']);

/** @throws InvalidRequestObject */
export const assertRequestObject: NonNullable<RequestObjects['assertJwtClaimsAndHeader']> = async (
  ctx,
  claims,
  header,
  client,
) => {
  // Checked when it was pushed; what was pushed unsigned comes back in the library's own wrapping.
  if ('PushedAuthorizationRequest' in ctx.oidc.entities) return;
  const fault = faultOf(claims, header, client.clientId, Math.floor(Date.now() / 1000));
  if (fault !== undefined) throw new errors.InvalidRequestObject(fault);
};

function faultOf(
  claims: Record<string, unknown>,
  { typ, crit }: Record<string, unknown>,
  clientId: string,
  nowSeconds: number,
): string | undefined {
  const { exp, iat } = claims;
  if (typ !== undefined && !(typeof typ === 'string' && TYPES.has(mediaType(typ)))) {
    return 'typ of the Request Object must be oauth-authz-req+jwt';
  }
  if (crit !== undefined) return 'crit is not supported in a Request Object';
  // A client assertion says who it is about (RFC 7523 §3), a request never does (RFC 9101 §4).
  if ('sub' in claims) return 'the Request Object must not contain sub';
  if (claims['client_id'] !== clientId) return 'the Request Object must contain the client_id';
  if (typeof exp !== 'number') return 'the Request Object must contain exp';
  // The library goes on for a moment, and keeps what is pushed then for less than none.
  if (exp <= nowSeconds) return 'the Request Object has expired';
  if (exp > nowSeconds + MAX_LIFE_SECONDS + MAX_AHEAD_SECONDS)
    return 'the Request Object may live an hour at most';
  if (iat !== undefined && Number(iat) > nowSeconds + MAX_AHEAD_SECONDS) {
    return 'the Request Object was issued in the future';
  }
  return undefined;
}

/** RFC 7515 §4.1.9: `application/` may be left out. */
function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '');
}

/**
 * The library makes text of every parameter in a request, and falls over what has none (`{"toString": null}`), or is
 * nested deeper than the stack. Such a request is not shown to it: it finds something that is none, and says so.
 */
export function hideUnreadableRequests(provider: Provider): void {
  const context = (provider as unknown as { OIDCContext: { prototype: object } }).OIDCContext.prototype;
  const before = Object.getOwnPropertyDescriptor(context, 'params');
  if (!before?.set) throw new Error('nobody watches the parameters of requests any more');
  Object.defineProperty(context, 'params', {
    configurable: true,
    set(this: KoaContextWithOIDC['oidc'], params: Parameters) {
      if (ROUTES.has(this.route)) watchRequest(this, params);
      else before.set?.call(this, params);
    },
  });
}

type Parameters = Record<string, unknown>;

/** The parameters are set twice where a client authenticates first. */
function watchRequest(oidc: object, params: Parameters): void {
  let current = readable(params);
  Object.defineProperty(oidc, 'params', {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (next: Parameters) => {
      current = readable(next);
    },
  });
}

function readable(params: Parameters): Parameters {
  if (typeof params['request'] === 'string' && !hasText(params['request'])) params['request'] = 'unreadable';
  return params;
}

/** Level by level, for a deep one must not be followed down. */
function isShallow(value: object): boolean {
  let level: object[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return false;
    level = level
      .flatMap((one) => Object.values(one) as unknown[])
      .filter((held) => typeof held === 'object' && held !== null);
  }
  return true;
}

function hasText(request: string): boolean {
  let claims: Record<string, unknown>;
  try {
    claims = decodeJwt(request);
  } catch {
    // No request at all: the library's to refuse, or encrypted.
    return true;
  }
  try {
    for (const [name, value] of Object.entries(claims)) if (!STRUCTURED.has(name)) String(value);
    return isShallow(claims);
  } catch {
    return false;
  }
}
