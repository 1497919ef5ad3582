import { z } from 'zod';

import { AppError } from '../../platform/errors.ts';
import { CLIENT_KINDS, CLIENT_SCOPES, type AuthMethod, type GrantType } from '../client.ts';
import { destinationOf } from '../redirect-uris.ts';

/** What clients that register themselves can be given at all; the rest is for operators. */
export const REGISTRABLE_GRANT_TYPES = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
] as const satisfies readonly GrantType[];
export const REGISTRABLE_AUTH_METHODS = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'none',
] as const satisfies readonly AuthMethod[];

const HOST = /^(?:\*\.)?(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*(?::\d{1,5})?$/;
const SCHEME = /^[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+:$/;

/** What is wrong with an entry of `redirectHosts`, as the end of a sentence; undefined where it is in order. */
function redirectHostFault(entry: string): string | undefined {
  if (['*', 'loopback', 'private-use'].includes(entry) || SCHEME.test(entry)) return undefined;
  return HOST.test(entry) && entry.length <= 253
    ? undefined
    : `must hold hosts such as app.example.com or *.example.com, schemes such as com.example.app:, loopback, private-use or *; ${JSON.stringify(entry)} is none`;
}

export const policySchema = z.strictObject({
  /**
   * Where people may be sent back to: `app.example.com`, `app.example.com:8443`, `*.example.com` (below it), `*` (any
   * host by https), `loopback` (http on the person's own machine), `com.example.app:` (that scheme), `private-use`
   * (any scheme of RFC 8252 §7.1).
   */
  redirectHosts: z.array(
    z.string().superRefine((entry, context) => {
      const message = redirectHostFault(entry);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  ),
  grantTypes: z.array(z.enum(REGISTRABLE_GRANT_TYPES)).min(1),
  scopes: z.array(z.enum(CLIENT_SCOPES)),
  authMethods: z.array(z.enum(REGISTRABLE_AUTH_METHODS)).min(1),
  kinds: z.array(z.enum(CLIENT_KINDS)).min(1),
});

/** What may be registered. Nothing in it makes a client first-party: only an operator vouches for one. */
export type RegistrationPolicy = z.infer<typeof policySchema>;

/** For registration without a token: public clients of people, nothing that is kept secret. */
export function openPolicy({
  redirectHosts,
  scopes,
}: {
  redirectHosts: readonly string[];
  scopes: readonly string[];
}): RegistrationPolicy {
  return policySchema.parse({
    redirectHosts,
    scopes,
    grantTypes: ['authorization_code', 'refresh_token'],
    authMethods: ['none'],
    kinds: ['native', 'browser'],
  });
}

/**
 * Checks that the policy lets people be sent there.
 *
 * @throws AppError `invalid_redirect_uri` (400), as the rules for all clients do
 */
export function checkDestination(uri: string, { redirectHosts }: { redirectHosts: readonly string[] }): void {
  if (isPermitted(uri, redirectHosts)) return;
  throw new AppError(
    'invalid_redirect_uri',
    400,
    `The URI ${JSON.stringify(uri.slice(0, 200))} is refused: clients that register themselves may not have it here.`,
  );
}

function isPermitted(uri: string, entries: readonly string[]): boolean {
  const destination = destinationOf(uri);
  const { protocol, host } = new URL(uri);
  if (destination === 'loopback' || destination === 'localhost') return entries.includes('loopback');
  if (destination === 'private_use') return entries.includes('private-use') || entries.includes(protocol);
  return entries.some((entry) => entry === '*' || isHostOf(host, entry));
}

/** Whether the host (with its port, where it is not the usual one) is what the entry names; `*`: any, at that port. */
export function isHostOf(host: string, entry: string): boolean {
  if (entry === '*') return !/:\d+$/.test(host);
  return entry.startsWith('*.') ? host.endsWith(entry.slice(1)) : host === entry;
}
