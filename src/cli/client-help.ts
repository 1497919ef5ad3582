/** The many options of `clients create` and `clients update` under headings, so that one finds the few that one needs. */
import type { Command } from 'commander';

const HEADINGS: Readonly<Record<string, readonly string[]>> = {
  'What it is': [
    'name',
    'client-id',
    'kind',
    'public',
    'first-party',
    'profile',
    'client-uri',
    'initiate-login-uri',
    'logo-uri',
    'policy-uri',
    'tos-uri',
    'contact',
  ],
  'Where browsers go': ['redirect-uri', 'post-logout-redirect-uri', 'allowed-origin'],
  'What it may ask for': [
    'grant-type',
    'scope',
    'authorization-type',
    'token-exchange-api',
    'token-exchange-from',
    'token-exchange-mode',
  ],
  'How it proves who it is': [
    'auth-method',
    'secret-stdin',
    'secret-file',
    'jwks-file',
    'jwks-uri',
    'auth-signing-alg',
    'tls-subject-dn',
    'tls-san-dns',
    'tls-san-uri',
    'tls-san-ip',
    'tls-san-email',
  ],
  'How people sign in to it': [
    'consent',
    'require-role',
    'require-mfa',
    'default-max-age',
    'default-acr',
    'subject-type',
    'sector-identifier-uri',
  ],
  'What its requests must be': ['pkce', 'par-required', 'require-signed-requests', 'request-signing-alg'],
  'Its tokens': [
    'id-token-alg',
    'roles-claim',
    'roles-prefix',
    'claims-in-id-token',
    'access-token-ttl',
    'refresh-idle',
    'refresh-absolute',
    'rotate-refresh-tokens',
    'dpop-bound',
    'require-dpop-nonce',
    'certificate-bound',
  ],
  'What it is told, and where': [
    'backchannel-logout-uri',
    'backchannel-logout-session',
    'frontchannel-logout-uri',
    'frontchannel-logout-session',
    'sign-out-ends-offline',
    'backchannel-delivery',
    'backchannel-notify-at',
  ],
};

/** Of these there are many alike: `--userinfo-encryption-alg`. */
const MESSAGES = 'Signed and encrypted answers';

/** Options that stand under no heading (`--json`, `--clear`) come last. */
export function withHeadings(command: Command): Command {
  for (const option of command.options) {
    const name = option.name().replace(/^no-/, '');
    const [heading] = Object.entries(HEADINGS).find(([, names]) => names.includes(name)) ?? [];
    if (heading !== undefined) option.helpGroup(`${heading}:`);
    else if (/-(?:signing|encryption)-(?:alg|enc)$/.test(name)) option.helpGroup(`${MESSAGES}:`);
  }
  return command;
}

/** What is wrong with a client is said in the words of registration (RFC 7591); here its properties have other names. */
const OPTION_OF: Readonly<Record<string, string>> = {
  jwks: '--jwks-file',
  jwks_uri: '--jwks-uri',
  token_endpoint_auth_signing_alg: '--auth-signing-alg',
  tls_client_auth_subject_dn: '--tls-subject-dn',
  tls_client_auth_san_dns: '--tls-san-dns',
  tls_client_auth_san_uri: '--tls-san-uri',
  tls_client_auth_san_ip: '--tls-san-ip',
  tls_client_auth_san_email: '--tls-san-email',
  backchannel_client_notification_endpoint: '--backchannel-notify-at',
};

/** The same sentence with the options in it. */
export function inOptions(sentence: string): string {
  return sentence.replaceAll(/\w+/g, (word) => OPTION_OF[word] ?? word);
}
