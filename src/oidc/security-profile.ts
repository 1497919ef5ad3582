/**
 * What FAPI 2.0 asks of single requests, for the clients that are held to it (clients/security-profile.ts says what it
 * asks of their registration). Section numbers are those of FAPI 2.0 Security Profile, unless Message Signing (MS) is
 * named.
 */
import { type Configuration, errors, type KoaContextWithOIDC, type ResourceServer } from 'oidc-provider';

import type { Client } from '../clients/client.ts';
import { FAPI_SIGNING_ALGS } from '../clients/security-profile.ts';
import type { Proof } from './dpop.ts';

/** §5.3.2.1: a JWT from up to 10 s in the future must be taken, one from more than 60 s refused. */
const MAX_FUTURE_SECONDS = 60;
/** §5.3.2.2 */
const MAX_CODE_SECONDS = 60;
/** MS §5.3.1 */
const MAX_REQUEST_OBJECT_SECONDS = 3600;

type RequestObjectCheck = NonNullable<
  NonNullable<NonNullable<Configuration['features']>['requestObjects']>['assertJwtClaimsAndHeader']
>;

export interface SecurityProfiles {
  /** @throws InvalidClientAuth */
  checkClientAssertion: (ctx: KoaContextWithOIDC, claims: Claims, header: Header, client: object) => void;
  /** @throws InvalidRequestObject */
  checkRequestObject: (...args: Parameters<RequestObjectCheck>) => void;
  /** Of the whole authorization request, once it is put together. @throws InvalidRequest */
  checkAuthorizationRequest: (ctx: KoaContextWithOIDC) => void;
  /** @throws InvalidDpopProof */
  checkProof: (client: Client, proof: Proof) => void;
  /** An API's tokens, for the client that asks. @throws InvalidTarget */
  checkResourceServer: (client: object | undefined, server: ResourceServer) => ResourceServer;
  codeSeconds: (client: object, configured: number) => number;
}

type Claims = Record<string, unknown>;
type Header = Record<string, unknown>;

export function createSecurityProfiles(
  clientOf: (providerClient: object) => Client | undefined,
): SecurityProfiles {
  const profileOf = (providerClient: object | undefined): Client['profile'] =>
    providerClient && clientOf(providerClient)?.profile;

  return {
    checkClientAssertion: (ctx, claims, header, client) => {
      if (!profileOf(client)) return;
      const refuse = (reason: string): never => {
        throw new errors.InvalidClientAuth(reason);
      };
      // §5.3.2.1: a list, or an endpoint, would let another server that the client trusts use the assertion here.
      if (claims['aud'] !== ctx.oidc.issuer) refuse('audience (aud) must be the issuer, as a string');
      checkJwt(claims, header, refuse);
    },

    checkRequestObject: (ctx, claims, header, client) => {
      // What was pushed was checked then; here it comes as it was kept.
      if (!profileOf(client) || ctx.oidc.entities.PushedAuthorizationRequest) return;
      const refuse = (reason: string): never => {
        throw new errors.InvalidRequestObject(reason);
      };
      checkJwt(claims, header, refuse);
      const { exp, nbf } = claims;
      if (typeof exp !== 'number' || typeof nbf !== 'number') {
        refuse('the request object must carry exp and nbf');
      }
      const seconds = Number(exp) - Number(nbf);
      if (seconds <= 0 || seconds > MAX_REQUEST_OBJECT_SECONDS) {
        refuse('the request object must live an hour at most, from nbf to exp');
      }
      if (Number(nbf) < nowSeconds() - MAX_REQUEST_OBJECT_SECONDS) {
        refuse('the request object is older than an hour');
      }
    },

    checkAuthorizationRequest: (ctx) => {
      const { client, params, route } = ctx.oidc;
      const profile = profileOf(client);
      if (!profile || (route !== 'authorization' && route !== 'pushed_authorization_request')) return;
      if (route === 'authorization') {
        const given = Object.keys({ ...ctx.query, ...(ctx.oidc.body as object | undefined) });
        const stranger = given.find((name) => name !== 'client_id' && name !== 'request_uri');
        if (stranger !== undefined) {
          throw new errors.InvalidRequest(
            'everything but client_id and request_uri belongs into the pushed request',
          );
        }
      }
      // MS §5.4.1
      if (profile === 'fapi2_message_signing' && !String(params?.['response_mode']).endsWith('jwt')) {
        throw new errors.InvalidRequest('the response must be signed: ask for response_mode=jwt');
      }
    },

    checkProof: (client, proof) => {
      if (client.profile === undefined) return;
      checkJwt({ iat: proof.iat }, { alg: proof.alg }, (reason) => {
        throw new errors.InvalidDpopProof(reason);
      });
    },

    checkResourceServer: (client, server) => {
      const alg =
        server.accessTokenFormat === 'jwt'
          ? (server.jwt?.sign as { alg?: string } | undefined)?.alg
          : undefined;
      if (profileOf(client) && alg !== undefined && !FAPI_SIGNING_ALGS.has(alg)) {
        throw new errors.InvalidTarget(
          `the tokens of this API are signed by ${alg}, which the client's security profile does not take`,
        );
      }
      return server;
    },

    codeSeconds: (client, configured) =>
      profileOf(client) ? Math.min(configured, MAX_CODE_SECONDS) : configured,
  };
}

/** §5.4.1 and §5.3.2.1, of any JWT that a client made. */
function checkJwt(claims: Claims, { alg }: Header, refuse: (reason: string) => never): void {
  if (!FAPI_SIGNING_ALGS.has(String(alg))) refuse('it must be signed by PS256, ES256 or EdDSA');
  for (const claim of ['iat', 'nbf']) {
    if (Number(claims[claim] ?? 0) > nowSeconds() + MAX_FUTURE_SECONDS) {
      refuse(`its ${claim} lies too far in the future`);
    }
  }
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
