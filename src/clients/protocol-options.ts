/**
 * What a client can be given beyond what every client has: each option is absent until an operator asks for it. They
 * are stored together, under the names that RFC 7591 §2 and its successors register (`default_max_age`).
 */
import { z } from 'zod';

import { AppError } from '../platform/errors.ts';
import { CLIENT_SIGNING_ALGS, MESSAGE_OPTION_NAMES, MESSAGE_OPTIONS } from './message-algs.ts';
import { SECURITY_PROFILES } from './profiles.ts';

const MAX_AGE_SECONDS = 400 * 86_400;
const MIN_REFRESH_TOKEN_SECONDS = 60;
const refreshSeconds = z.int().min(MIN_REFRESH_TOKEN_SECONDS).max(MAX_AGE_SECONDS);
const names = z.array(z.string().min(1).max(500)).min(1).max(50);

/** By our own names; the registered ones follow from them. */
const schema = z.strictObject({
  /** Seconds since the last sign-in after which people sign in anew, unless the request says (OIDC Registration §2). */
  defaultMaxAge: z.int().min(0).max(MAX_AGE_SECONDS).exactOptional(),
  /** What a request without `acr_values` asks for (OIDC Registration §2). */
  defaultAcrValues: z
    .array(z.enum(['aal1', 'aal2']))
    .min(1)
    .max(2)
    .exactOptional(),
  /** A refresh token ends when it was not used for this long; the settings and the APIs may be stricter. */
  refreshTokenIdleSeconds: refreshSeconds.exactOptional(),
  /** And with its family, however often it is used. */
  refreshTokenAbsoluteSeconds: refreshSeconds.exactOptional(),
  /** False where sender-constrained refresh tokens are to be kept (FAPI 2.0 §5.3.2.1). */
  rotateRefreshTokens: z.boolean().exactOptional(),
  /** The APIs that it may get tokens for in exchange for others (RFC 8693). */
  tokenExchangeAudiences: names.exactOptional(),
  /** Whose tokens it may exchange, beside its own. */
  tokenExchangeSubjectClients: names.exactOptional(),
  /** As the person, or on behalf of them and named as the one who acts (RFC 8693 §1.1). */
  tokenExchangeModes: z
    .array(z.enum(['impersonation', 'delegation']))
    .min(1)
    .max(2)
    .exactOptional(),
  ...MESSAGE_OPTIONS,
  /** The one algorithm of its assertions (RFC 7591 §2); without it any of `CLIENT_SIGNING_ALGS`. */
  tokenEndpointAuthSigningAlg: z.enum(CLIENT_SIGNING_ALGS).exactOptional(),
  /** The certificate that the client authenticates with, by one of these (RFC 8705 §2.1.2). */
  tlsClientAuthSubjectDn: z.string().exactOptional(),
  tlsClientAuthSanDns: z.string().exactOptional(),
  tlsClientAuthSanUri: z.string().exactOptional(),
  tlsClientAuthSanIp: z.string().exactOptional(),
  tlsClientAuthSanEmail: z.string().exactOptional(),
  /** Whether access tokens are good only along with the certificate they were given to (RFC 8705 §3). */
  tlsClientCertificateBoundAccessTokens: z.boolean().exactOptional(),
  /** Whether DPoP proofs must carry a nonce of ours (RFC 9449 §8). */
  requireDpopNonce: z.boolean().exactOptional(),
  /** How it learns that a person has answered a backchannel request (OpenID CIBA Core 1.0 §5); `poll` where absent. */
  backchannelTokenDeliveryMode: z.enum(['poll', 'ping']).exactOptional(),
  /** Where it is told so, in the mode `ping`. */
  backchannelClientNotificationEndpoint: z.string().max(2_000).exactOptional(),
  /** Sets and enforces all that a security profile asks for. */
  profile: z.enum(SECURITY_PROFILES).exactOptional(),
  /** Whether it knows people by identifiers that only its sector knows (OIDC Core §8). */
  subjectType: z.enum(['public', 'pairwise']).exactOptional(),
  /** The types of authorization details that it may ask for (RFC 9396 §10); none where absent. */
  authorizationDetailsTypes: z.array(z.string().min(1).max(200)).min(1).max(50).exactOptional(),
  /** Whose host is the sector, and which lists the redirect URIs of the sector (OIDC Core §8.1). */
  sectorIdentifierUri: z.string().max(2_000).exactOptional(),
});

export type ProtocolOptions = z.infer<typeof schema>;
export type ProtocolOption = keyof ProtocolOptions;

const PROTOCOL_OPTIONS = Object.keys(schema.shape) as ProtocolOption[];

/** Those that oidc-provider knows by their registered names. */
const PROVIDER_OPTIONS: ReadonlySet<ProtocolOption> = new Set([
  'subjectType',
  'sectorIdentifierUri',
  'defaultMaxAge',
  'defaultAcrValues',
  ...MESSAGE_OPTION_NAMES,
  'tokenEndpointAuthSigningAlg',
  'tlsClientAuthSubjectDn',
  'tlsClientAuthSanDns',
  'tlsClientAuthSanUri',
  'tlsClientAuthSanIp',
  'tlsClientAuthSanEmail',
  'tlsClientCertificateBoundAccessTokens',
]);

/** `defaultMaxAge` → `default_max_age` */
export function registeredName(option: string): string {
  return option.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The options of a definition, under their registered names. */
export function presentProtocolOptions(definition: ProtocolOptions): Record<string, unknown> {
  return named(definition, PROTOCOL_OPTIONS);
}

/** As oidc-provider's client metadata. */
export function providerOptions(definition: ProtocolOptions): Record<string, unknown> {
  return structuredClone(
    named(
      definition,
      PROTOCOL_OPTIONS.filter((option) => PROVIDER_OPTIONS.has(option)),
    ),
  );
}

/** Reads back what `presentProtocolOptions` made and was stored. */
export function parseProtocolOptions(stored: Record<string, unknown>): ProtocolOptions {
  const options = Object.fromEntries(
    PROTOCOL_OPTIONS.map((option) => [option, stored[registeredName(option)]]).filter(
      ([, value]) => value !== undefined,
    ),
  ) as Record<string, unknown>;
  return schema.parse(options);
}

/**
 * Checks each option by itself.
 *
 * @throws AppError `invalid_client` (400), naming the option
 */
export function checkProtocolOptions(definition: ProtocolOptions): void {
  const given = Object.fromEntries(
    PROTOCOL_OPTIONS.filter((option) => definition[option] !== undefined).map((option) => [
      option,
      definition[option],
    ]),
  );
  const [issue] = schema.safeParse(given).error?.issues ?? [];
  if (!issue) return;
  const name = registeredName(String(issue.path[0]));
  throw new AppError(
    'invalid_client',
    400,
    `This client cannot be registered so: ${name} is not right (${issue.message}).`,
  );
}

function named(definition: ProtocolOptions, options: readonly ProtocolOption[]): Record<string, unknown> {
  return Object.fromEntries(
    options
      .filter((option) => definition[option] !== undefined)
      .map((option) => [registeredName(option), definition[option]]),
  );
}
