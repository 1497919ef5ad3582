/** The options of `clients create` and `clients update` for clients with demands of their own, a row each. */
import { Option, type Command } from 'commander';

import { CLIENT_SIGNING_ALGS } from '../clients/message-algs.ts';
import { SECURITY_PROFILES } from '../clients/profiles.ts';
import { registeredName, type ProtocolOption, type ProtocolOptions } from '../clients/protocol-options.ts';
import { parseDuration } from './input.ts';
import { MESSAGE_ROWS } from './message-options.ts';

interface Row {
  property: ProtocolOption;
  flags: string;
  description: string;
  choices?: readonly string[];
  /** A word that is not as it should be is a misuse: throws commander's `InvalidArgumentError`. */
  parse?: (word: string) => unknown;
  /** What is made of it later, where that takes more than the words: reading a file. */
  read?: (given: never) => Promise<unknown>;
}

const ROWS: readonly Row[] = [
  {
    property: 'defaultMaxAge',
    flags: '--default-max-age <duration>',
    description: 'people sign in anew when they did so longer ago, unless the request says: 1h',
    parse: parseDuration,
  },
  {
    property: 'defaultAcrValues',
    flags: '--default-acr <class...>',
    description: 'what a request without acr_values asks for',
    choices: ['aal1', 'aal2'],
  },
  {
    property: 'refreshTokenIdleSeconds',
    flags: '--refresh-idle <duration>',
    description: 'its refresh tokens end when unused for so long: 8h; the settings are the most',
    parse: parseDuration,
  },
  {
    property: 'refreshTokenAbsoluteSeconds',
    flags: '--refresh-absolute <duration>',
    description: 'and after so long, however often they are used: 30d; the settings are the most',
    parse: parseDuration,
  },
  {
    property: 'rotateRefreshTokens',
    flags: '--rotate-refresh-tokens',
    description: 'each refresh gives a new refresh token, as is the rule',
  },
  {
    property: 'rotateRefreshTokens',
    flags: '--no-rotate-refresh-tokens',
    description: 'keep them, for a client whose tokens are bound to a key or a certificate',
  },
  {
    property: 'tokenExchangeAudiences',
    flags: '--token-exchange-api <api...>',
    description: 'what it may get tokens for in exchange for others (RFC 8693)',
  },
  {
    property: 'tokenExchangeSubjectClients',
    flags: '--token-exchange-from <client-id...>',
    description: 'whose tokens it may exchange, beside its own',
  },
  {
    property: 'tokenExchangeModes',
    flags: '--token-exchange-mode <mode...>',
    description: 'as the person, or named as the one who acts for them',
    choices: ['impersonation', 'delegation'],
  },
  ...MESSAGE_ROWS,
  {
    property: 'backchannelTokenDeliveryMode',
    flags: '--backchannel-delivery <mode>',
    description: 'how it learns that a person has answered it: it asks again, or is told (CIBA)',
    choices: ['poll', 'ping'],
  },
  {
    property: 'backchannelClientNotificationEndpoint',
    flags: '--backchannel-notify-at <uri>',
    description: 'where it is told, for ping',
  },
  {
    property: 'tokenEndpointAuthSigningAlg',
    flags: '--auth-signing-alg <alg>',
    description: 'the one algorithm that it signs its assertions with, for private_key_jwt',
    choices: CLIENT_SIGNING_ALGS,
  },
  {
    property: 'tlsClientAuthSubjectDn',
    flags: '--tls-subject-dn <name>',
    description: 'the subject of its certificate, for tls_client_auth: CN=payments,O=Example,C=CH',
  },
  {
    property: 'tlsClientAuthSanDns',
    flags: '--tls-san-dns <name>',
    description: 'instead: a host name that its certificate is for',
  },
  { property: 'tlsClientAuthSanUri', flags: '--tls-san-uri <uri>', description: 'instead: a URI' },
  { property: 'tlsClientAuthSanIp', flags: '--tls-san-ip <address>', description: 'instead: an IP address' },
  {
    property: 'tlsClientAuthSanEmail',
    flags: '--tls-san-email <address>',
    description: 'instead: an e-mail address',
  },
  {
    property: 'tlsClientCertificateBoundAccessTokens',
    flags: '--certificate-bound',
    description: 'access tokens must be bound to its certificate (RFC 8705)',
  },
  {
    property: 'requireDpopNonce',
    flags: '--require-dpop-nonce',
    description: 'DPoP proofs must carry a nonce of this server (RFC 9449 §8)',
  },
  {
    property: 'profile',
    flags: '--profile <profile>',
    description: 'sets and enforces all that FAPI 2.0 asks for',
    choices: SECURITY_PROFILES,
  },
  {
    property: 'subjectType',
    flags: '--subject-type <type>',
    description: 'whether its sector alone knows people by the identifier that it is told',
    choices: ['public', 'pairwise'],
  },
  {
    property: 'authorizationDetailsTypes',
    flags: '--authorization-type <type...>',
    description: 'the types of authorization details that it may ask for (RFC 9396)',
  },
  {
    property: 'sectorIdentifierUri',
    flags: '--sector-identifier-uri <uri>',
    description: 'names the sector by its host, and lists the redirect URIs of every client of the sector',
  },
];

export type ProtocolOptionsGiven = Record<string, unknown>;

export function addProtocolOptions(command: Command): Command {
  for (const row of ROWS) command.addOption(toOption(row));
  return command;
}

/** What was given, left out what was not. */
export async function readProtocolOptions(given: ProtocolOptionsGiven): Promise<ProtocolOptions> {
  const read: Record<string, unknown> = {};
  for (const row of ROWS) {
    const value = given[toOption(row).attributeName()];
    if (value === undefined) continue;
    read[row.property] = row.read ? await row.read(value as never) : value;
  }
  return read;
}

/** By the names that `--clear` takes: `default-max-age`. */
export const CLEARABLE_OPTIONS: Readonly<Record<string, ProtocolOption>> = Object.fromEntries(
  ROWS.map((row) => [registeredName(toOption(row).attributeName()).replaceAll('_', '-'), row.property]),
);

function toOption({ flags, description, choices, parse }: Row): Option {
  const option = new Option(flags, description);
  if (parse) option.argParser(parse);
  return choices ? option.choices(choices) : option;
}
