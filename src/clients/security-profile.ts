/**
 * One switch for clients with high demands: FAPI 2.0 Security Profile (`fapi2`), and with FAPI 2.0 Message Signing on
 * top of it (`fapi2_message_signing`). Setting it tightens what can be tightened without asking, and what then still
 * conflicts is refused, all points at once. What a single request must hold to is in oidc/security-profile.ts.
 */
import { AppError } from '../platform/errors.ts';
import type { ClientDefinition } from './client.ts';
import { hasCertificate } from './mutual-tls.ts';

/** FAPI 2.0 Security Profile §5.4.1. */
export const FAPI_SIGNING_ALGS: ReadonlySet<string> = new Set(['PS256', 'ES256', 'EdDSA', 'Ed25519']);

/** Of those, the one that there is always a key for. */
const OUR_ALG = 'ES256';

/** What answers are signed with where the client names no algorithm (JARM §3, RFC 9701 §6), once it asks for them. */
const UNLESS_SAID = { authorizationSignedResponseAlg: 'RS256', introspectionSignedResponseAlg: 'RS256' };

/** Those that the profile says anything about. */
const GRANTS: ReadonlySet<string> = new Set(['authorization_code', 'refresh_token', 'client_credentials']);

type Properties = Record<string, unknown>;

/**
 * The definition, tightened where the operator did not say otherwise.
 *
 * @param given what the operator did say
 */
export function underProfile(definition: ClientDefinition, given: object): ClientDefinition {
  if (definition.profile === undefined) return definition;
  const isSaid = (property: string): boolean => (given as Properties)[property] !== undefined;
  const set = <T extends object>(properties: T): Partial<T> =>
    Object.fromEntries(Object.entries(properties).filter(([property]) => !isSaid(property))) as Partial<T>;
  const isBound = definition.dpopBoundAccessTokens || definition.tlsClientCertificateBoundAccessTokens;
  // Who shows a certificate anyway need not prove a key besides.
  const binding = hasCertificate(definition)
    ? { tlsClientCertificateBoundAccessTokens: true }
    : { dpopBoundAccessTokens: true };
  return {
    ...definition,
    ...set({ requirePkce: true, requirePushedAuthorizationRequests: true }),
    ...(isBound ? {} : set(binding)),
    ...(FAPI_SIGNING_ALGS.has(definition.idTokenAlg) ? {} : set({ idTokenAlg: OUR_ALG })),
    // See UNLESS_SAID.
    ...set({ introspectionSignedResponseAlg: definition.introspectionSignedResponseAlg ?? OUR_ALG }),
    ...(definition.kind === 'machine'
      ? {}
      : set({ authorizationSignedResponseAlg: definition.authorizationSignedResponseAlg ?? OUR_ALG })),
    ...(definition.profile === 'fapi2_message_signing' && definition.kind !== 'machine'
      ? set({ requireSignedRequestObject: true })
      : {}),
  };
}

/** @throws AppError `invalid_client` (400), naming every point that the profile refuses */
export function checkSecurityProfile(definition: ClientDefinition): void {
  if (definition.profile === undefined) return;
  const points = conflicts(definition);
  if (points.length === 0) return;
  throw new AppError(
    'invalid_client',
    400,
    `This client cannot be registered so: the profile ${definition.profile} refuses ${points.length === 1 ? 'one point' : `${points.length} points`}: ${points.join('; ')}.`,
  );
}

/** FAPI 2.0 Security Profile §5.3.2; Message Signing §5.3 and §5.4. */
function conflicts(definition: ClientDefinition): string[] {
  const { authMethod, redirectUris, profile, kind } = definition;
  const isMessageSigning = profile === 'fapi2_message_signing' && kind !== 'machine';
  const foreign = definition.grantTypes.filter((grant) => !GRANTS.has(grant));
  const insecure = redirectUris.filter((uri) => !uri.startsWith('https://'));
  const rules: [isBroken: boolean, point: string][] = [
    [
      authMethod !== 'private_key_jwt' && !hasCertificate(definition),
      `it must authenticate by private_key_jwt, tls_client_auth or self_signed_tls_client_auth, not by ${authMethod}`,
    ],
    [
      !definition.dpopBoundAccessTokens && !definition.tlsClientCertificateBoundAccessTokens,
      'its access tokens must be bound, to a DPoP key or a certificate',
    ],
    [!definition.requirePkce, 'PKCE must be required'],
    [
      !definition.requirePushedAuthorizationRequests && kind !== 'machine',
      'authorization requests must be pushed',
    ],
    [
      foreign.length > 0,
      `it knows authorization_code, refresh_token and client_credentials only, not ${foreign.join(', ')}`,
    ],
    [insecure.length > 0, `redirect URIs must be https: ${insecure.join(', ')}`],
    ...signingAlgs(definition).map(([property, alg]): [boolean, string] => [
      !FAPI_SIGNING_ALGS.has(alg),
      `${property} must be PS256, ES256 or EdDSA, not ${alg}`,
    ]),
    [
      isMessageSigning && definition.requireSignedRequestObject !== true,
      'authorization requests must be signed (require_signed_request_object)',
    ],
    [
      isMessageSigning && definition.jwks === undefined && definition.jwksUri === undefined,
      'signed requests need its keys, as one of jwks and jwks_uri',
    ],
    [Object.values(definition as unknown as Properties).includes('RSA1_5'), 'RSA1_5 may encrypt nothing'],
  ];
  return rules.filter(([isBroken]) => isBroken).map(([, point]) => point);
}

/** By which algorithm each thing of this client is signed; those of `UNLESS_SAID` are, also where nothing says so. */
function signingAlgs(definition: ClientDefinition): [property: string, alg: string][] {
  const { introspectionSignedResponseAlg, ...ofPeople } = UNLESS_SAID;
  const unsaid = { introspectionSignedResponseAlg, ...(definition.kind === 'machine' ? {} : ofPeople) };
  return Object.entries({ ...unsaid, ...definition } as Properties)
    .filter(([property]) => /(?:idTokenAlg|SigningAlg|SignedResponseAlg)$/.test(property))
    .filter((entry): entry is [string, string] => typeof entry[1] === 'string')
    .map(([property, alg]) => [
      property === 'idTokenAlg'
        ? 'id_token_signed_response_alg'
        : property.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      alg,
    ]);
}
