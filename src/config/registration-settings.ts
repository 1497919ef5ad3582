/** The settings about clients that no operator registered: part of the schema (schema.ts). */
import { z } from 'zod';

const HOST = /^(?:\*\.)?(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*(?::\d{1,5})?$/;
const SCHEME = /^[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+:$/;

/** Names the entry: a list may be long. */
const noneOf = (kinds: string) => ({
  error: ({ input }: { input?: unknown }) => `must hold ${kinds}; ${JSON.stringify(input)} is none`,
});

const redirectHost = z
  .string()
  .refine(
    (entry) => ['*', 'loopback', 'private-use'].includes(entry) || SCHEME.test(entry) || HOST.test(entry),
    noneOf(
      'hosts such as app.example.com or *.example.com, schemes such as com.example.app:, loopback, private-use or *',
    ),
  );
const documentHost = z
  .string()
  .refine(
    (entry) => entry === '*' || HOST.test(entry.replace(/^!/, '')),
    noneOf('hosts such as app.example.com, *.example.com, app.example.com:8443 or !not.example.com, or *'),
  );
const whole = (minimum: number, maximum: number): z.ZodNumber => z.number().int().min(minimum).max(maximum);

export const registrationSettings = z.strictObject({
  enabled: z.boolean().default(false).meta({
    description:
      'Whether applications may register themselves at `/oauth/register` (RFC 7591), with a token from `gatehouse registration-tokens create`.',
  }),
  open: z.boolean().default(false).meta({
    description:
      'Whether anybody may do so, without a token: public clients of people only. MCP clients that have no metadata document of their own need this.',
  }),
  openRedirectHosts: z.array(redirectHost).default(['loopback']).meta({
    description:
      'Without a token: where such an application may have people sent back to. Hosts (`app.example.com`, `*.example.com`, `*` for any by https), `loopback` for the person’s own machine, schemes (`com.example.app:`, `private-use` for any).',
  }),
  openScopes: z
    .array(z.enum(['openid', 'profile', 'email', 'roles', 'offline_access']))
    .default(['openid', 'profile', 'email', 'offline_access'])
    .meta({ description: 'Without a token: the scopes that such an application may ask for.' }),
  addressFreeAttempts: whole(1, 100_000).default(20).meta({
    description:
      'Registrations without a token, and refused ones, from one address before each next one has to wait (as after failed sign-ins, see `throttle`).',
  }),
  maxClients: whole(1, 10_000_000)
    .default(10_000)
    .meta({ description: 'The most clients that may have registered themselves at a time.' }),
  unusedAfterSeconds: whole(0, 10 * 365 * 86_400)
    .default(7_776_000)
    .meta({
      description:
        'A client that registered itself and got no token for this long is deleted; 0: never. At least as long as a refresh token may lie unused.',
    }),
  documentHosts: z.array(documentHost).default([]).meta({
    description:
      'Hosts whose applications need no registration: their client id is the https address of a document that describes them (Client ID Metadata Documents, as MCP clients use them). `app.example.com`, `*.example.com`, `*` for any, `!not.example.com` for none of these. None: such ids are not known.',
  }),
  apis: z.array(z.string().min(1).max(500)).default([]).meta({
    description:
      'The APIs, by identifier, that clients which no operator registered may ask tokens for; `*` for all. People are asked, and need the permissions themselves, in any case.',
  }),
});
