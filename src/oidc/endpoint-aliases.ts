/**
 * The endpoints at the origin where certificates are asked for (RFC 8705 §5). They are the issuer's own by other
 * addresses, and every request has been rewritten to those (http/origin.ts). But a client signs for the address that it
 * was sent to: in the `htu` of a DPoP proof (RFC 9449 §4.2), and in the audience of an assertion where it takes the
 * endpoint's (RFC 7523 §3). So both addresses of an endpoint are taken there.
 */
import { decodeJwt } from 'jose';
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';

/** Those that a client calls itself, by the library's routes. */
const ALIASED: Readonly<Record<string, string>> = {
  token: 'token_endpoint',
  revocation: 'revocation_endpoint',
  introspection: 'introspection_endpoint',
  pushed_authorization_request: 'pushed_authorization_request_endpoint',
  userinfo: 'userinfo_endpoint',
  device_authorization: 'device_authorization_endpoint',
  backchannel_authentication: 'backchannel_authentication_endpoint',
  // Ours (endpoints/); no client proves anything there.
  registration: 'registration_endpoint',
};

/** For `mtls_endpoint_aliases`. */
export function aliasesOf(metadata: Record<string, unknown>, origin: string): Record<string, string> {
  return Object.fromEntries(
    Object.values(ALIASED).flatMap((name) => {
      const address = metadata[name];
      return typeof address === 'string' ? [[name, aliasOf(address, origin)]] : [];
    }),
  );
}

export function takeAliases(provider: Provider, origin: string): void {
  const prototype = provider.OIDCContext.prototype as unknown as OidcContext;
  const { urlFor, clientJwtAuthExpectedAudience } = prototype;
  prototype.urlFor = function urlSignedFor(this: OidcContext, name, options) {
    const own = urlFor.call(this, name, options);
    if (name !== this.route || !Object.hasOwn(ALIASED, name)) return own;
    const alias = aliasOf(own, origin);
    return signedAddress(this.ctx) === alias ? alias : own;
  };
  prototype.clientJwtAuthExpectedAudience = function withAliases(this: OidcContext) {
    const endpoints = ['token', this.route].filter((name) => Object.hasOwn(ALIASED, name));
    const addresses = endpoints.map((name) => urlFor.call(this, name));
    return new Set([
      ...clientJwtAuthExpectedAudience.call(this),
      ...addresses,
      ...addresses.map((address) => aliasOf(address, origin)),
    ]);
  };
}

interface OidcContext {
  route: string;
  ctx: KoaContextWithOIDC;
  urlFor: (name: string, options?: object) => string;
  clientJwtAuthExpectedAudience: () => Set<string>;
}

/** What the proof that came along says; whether it is one, is judged elsewhere. */
function signedAddress(ctx: KoaContextWithOIDC): string | undefined {
  try {
    const { htu } = decodeJwt(ctx.get('DPoP'));
    const address = new URL(String(htu));
    address.hash = '';
    address.search = '';
    return address.href;
  } catch {
    return undefined;
  }
}

function aliasOf(address: string, origin: string): string {
  return origin.replace(/\/$/, '') + new URL(address).pathname;
}
