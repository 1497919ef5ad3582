/**
 * Every setting of Gatehouse: its place, its type, its default and what it means. The documentation, the names of the
 * environment variables, `gatehouse config check` and `config/default.json` (held equal by a test) all follow this
 * schema. Reading it from files and the environment is `load.ts`; what production refuses is `production-rules.ts`.
 *
 * No setting may end in "port" or "host" except the one that `PORT` gives: Kubernetes injects `GATEHOUSE_…_PORT` and
 * `GATEHOUSE_…_HOST` for services of that name.
 */
import { z } from 'zod';

import {
  connectionUrlFault,
  hostOrNetworkFault,
  issuerFault,
  listenAddressFault,
  networkFault,
  parseListen,
  webUrlFault,
} from './formats.ts';
import { registrationSettings } from './registration-settings.ts';
import { tlsSettings } from './tls-settings.ts';

/** How far a value may be shown: never, or as a URL without its password. */
export type Secrecy = 'hidden' | 'url';

interface SettingMeta {
  secrecy?: Secrecy;
  /** Where the value comes from when it is not given, for settings without a fixed default. */
  derived?: string;
}

function setting<S extends z.ZodType>(schema: S, description: string, meta: SettingMeta = {}): S {
  return schema.meta({ description, ...meta });
}

/** A text that a format function judges. */
function text(fault: (value: string) => string | undefined): z.ZodString {
  return z.string().superRefine((value, context) => {
    const message = fault(value);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });
}

const whole = (minimum: number, maximum: number): z.ZodNumber => z.number().int().min(minimum).max(maximum);
const seconds = (minimum: number, maximum = 10 * 365 * 86_400): z.ZodNumber => whole(minimum, maximum);
const secret = z.string().min(32);

export const configSchema = z.strictObject({
  env: setting(
    z.enum(['development', 'production', 'test']).default('development'),
    'The profile: which file of `config/` is read, and whether insecure set-ups are refused (`production`). `test` is for the project’s own tests.',
  ),
  issuer: setting(
    text(issuerFault),
    'The address under which people and applications reach this server: https, exactly as they write it, without a slash at the end. It may have a path. Applications compare it character by character, so it should never change.',
    { derived: '`http://localhost:<port>`' },
  ),
  port: setting(whole(1, 65_535).default(3000), 'The port to listen on.'),
  listenAddress: setting(
    text(listenAddressFault).default('127.0.0.1'),
    'The address to listen on; `0.0.0.0` or `::` for all of them. In production `0.0.0.0` unless set.',
  ),
  workers: setting(
    whole(1, 64).default(1),
    'How many server processes share the work: as many as there are processor cores, where the machine is for nothing else. What is said of “a process” elsewhere (connections, memory) counts for each.',
  ),
  dataDir: setting(
    z.string().min(1).default('./data'),
    'The folder for what this server keeps on disk: the embedded database and generated keys.',
  ),
  database: z
    .strictObject({
      url: setting(
        text((value) => connectionUrlFault(value, ['postgres:', 'postgresql:'])).exactOptional(),
        'PostgreSQL 15 or later, `postgres://user:password@host/database`. Without it an embedded PostgreSQL is started, which production refuses.',
        { secrecy: 'url' },
      ),
      maxConnections: setting(
        whole(2, 1000).default(10),
        'The most connections to PostgreSQL that one process opens.',
      ),
    })
    .prefault({}),
  redis: z
    .strictObject({
      url: setting(
        text((value) => connectionUrlFault(value, ['redis:', 'rediss:'])).exactOptional(),
        'Redis 7 or later, or Valkey, for what expires: sessions, grants, tokens, counters. Without it PostgreSQL holds them. Its `maxmemory-policy` must be `noeviction`.',
        { secrecy: 'url' },
      ),
      cluster: setting(
        z.boolean().default(false),
        'Whether that address is a node of a Redis Cluster; the other nodes are learnt from it.',
      ),
      keyPrefix: setting(
        z
          .string()
          .regex(/^[\w.:-]{1,64}$/, 'may hold letters, digits and . _ : - only')
          .default('gatehouse'),
        'What every key in Redis begins with, so that several deployments may share one.',
      ),
    })
    .prefault({}),
  startup: z
    .strictObject({
      waitSeconds: setting(
        seconds(0, 3600).default(60),
        'How long to wait at start for PostgreSQL and Redis to be reachable before giving up.',
      ),
    })
    .prefault({}),
  shutdown: z
    .strictObject({
      drainSeconds: setting(
        seconds(0, 300).default(5),
        'After SIGTERM: how long requests are still accepted while `/healthz/ready` already says no, so that balancers can look elsewhere. In development 0 unless set.',
      ),
      graceSeconds: setting(
        seconds(1, 300).default(15),
        'Then: how long requests under way may take before their connections are closed.',
      ),
    })
    .prefault({}),
  secretKey: setting(
    secret.exactOptional(),
    'Seals everything secret that is stored (signing keys, second factors): at least 32 random characters, as `openssl rand -base64 48` prints them. Keep a copy apart from the database: without it the keys cannot be opened.',
    {
      secrecy: 'hidden',
      derived: 'a file in the data directory, made at the first start; production refuses that',
    },
  ),
  previousSecretKeys: setting(
    z.array(secret).default([]),
    'Secret keys of the past, which still open what they sealed: put the old one here when you replace `secretKey`.',
    { secrecy: 'hidden' },
  ),
  trustedProxies: setting(
    z.array(text(networkFault)).default([]),
    'Addresses or networks of the proxies in front of this server. Only from them are `X-Forwarded-For`, `X-Request-Id` and the certificates of clients in `mtls.header` and `mtls.verifiedHeader` believed.',
  ),
  ...tlsSettings,
  log: z
    .strictObject({
      level: setting(
        z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
        'The least severe lines that are logged.',
      ),
      format: setting(
        z.enum(['json', 'pretty']).default('json'),
        '`json` for machines, `pretty` for people. In development `pretty` unless set.',
      ),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      listen: setting(
        text((value) =>
          parseListen(value) ? undefined : 'must be address:port, such as 127.0.0.1:9464 or [::1]:9464',
        ).exactOptional(),
        'Where Prometheus finds `/metrics`, as `address:port`. Without it there is no metrics listener. Keep it off the public network.',
      ),
    })
    .prefault({}),
  password: z
    .strictObject({
      memoryKib: setting(whole(64, 4_194_304).default(19_456), 'argon2id: memory for one hash, in KiB.'),
      iterations: setting(whole(1, 100).default(2), 'argon2id: passes over the memory.'),
      parallelism: setting(whole(1, 16).default(1), 'argon2id: lanes.'),
      minLength: setting(whole(8, 128).default(12), 'The fewest characters of a new password.'),
      workers: setting(whole(1, 64).default(2), 'Child processes that hash passwords, at lower priority.'),
      queueLength: setting(
        whole(0, 10_000).default(64),
        'How many sign-ins may wait for a free worker. Past that, sign-in answers "busy, retry" at once.',
      ),
    })
    .prefault({}),
  mfa: z
    .strictObject({
      required: setting(z.boolean().default(false), 'Whether everybody must have a second factor.'),
      issuerName: setting(
        z
          .string()
          .regex(/^[^:]{1,64}$/, 'must have 1 to 64 characters and no colon')
          .default('Gatehouse'),
        'The name that authenticator apps show beside the account.',
      ),
      recoveryCodes: setting(whole(4, 32).default(10), 'How many recovery codes a person gets.'),
    })
    .prefault({}),
  throttle: z
    .strictObject({
      accountFreeFailures: setting(
        whole(1, 1000).default(5),
        'Failed sign-ins to one account, from browsers that never signed in to it, before each next one has to wait.',
      ),
      deviceFreeFailures: setting(
        whole(1, 1000).default(10),
        'The same for a browser that signed in to the account before: it has a counter of its own, so a stranger’s guesses never lock the owner out.',
      ),
      addressFreeFailures: setting(
        whole(1, 100_000).default(50),
        'Failed sign-ins from one address, to whatever account, before each next one has to wait.',
      ),
      userCodeFreeFailures: setting(
        whole(1, 1000).default(5),
        'Codes of devices that one browser may mistype before each next try has to wait.',
      ),
      userCodeAddressFreeFailures: setting(
        whole(1, 100_000).default(20),
        'The same for one address, whatever browser.',
      ),
      baseDelaySeconds: setting(
        seconds(1, 3600).default(2),
        'The first wait; each further failure doubles it.',
      ),
      maxDelaySeconds: setting(seconds(1, 86_400).default(900), 'The longest wait.'),
      forgetAfterSeconds: setting(
        seconds(60, 30 * 86_400).default(86_400),
        'Failures older than this no longer count.',
      ),
    })
    .prefault({}),
  ttl: z
    .strictObject({
      accessTokenSeconds: setting(seconds(30, 86_400).default(600), 'Life of an access token.'),
      authorizationCodeSeconds: setting(
        seconds(5, 600).default(60),
        'Life of an authorization code (RFC 6749 §4.1.2 allows ten minutes at most).',
      ),
      deviceCodeSeconds: setting(
        seconds(60, 1800).default(600),
        'How long a person may take to enter the code that a device shows, and to approve it (RFC 8628 §3.2).',
      ),
      idTokenSeconds: setting(seconds(30, 86_400).default(600), 'Life of an ID token.'),
      refreshTokenIdleSeconds: setting(
        seconds(60).default(1_209_600),
        'A refresh token that was not used for this long ends.',
      ),
      refreshTokenAbsoluteSeconds: setting(
        seconds(60).default(7_776_000),
        'The family of a refresh token, and its grant, end after this time however often it is used.',
      ),
      interactionSeconds: setting(
        seconds(60, 86_400).default(1200),
        'How long a person may take from the first page of a sign-in to the last.',
      ),
      sessionIdleSeconds: setting(
        seconds(60).default(86_400),
        'A browser’s session that was not used for this long ends.',
      ),
      sessionSeconds: setting(
        seconds(60).default(1_209_600),
        'A browser’s session ends after this time in any case.',
      ),
      parSeconds: setting(
        seconds(5, 60).default(60),
        'Life of a pushed authorization request (RFC 9126 §2.2).',
      ),
      backchannelRequestSeconds: setting(
        seconds(30, 3600).default(600),
        'How long a person may take to answer what an app asked without their browser (CIBA). The app may ask for less.',
      ),
    })
    .prefault({}),
  polling: z
    .strictObject({
      intervalSeconds: setting(
        seconds(1, 60).default(5),
        'How long an app that waits for a person’s answer pauses between two questions (device flow, CIBA); each sooner one is refused, and makes the pause 5 seconds longer.',
      ),
    })
    .prefault({}),
  approvals: z
    .strictObject({
      waitingPerClient: setting(
        whole(1, 100).default(3),
        'How many requests of one app may wait for one person at a time (CIBA).',
      ),
      hourlyPerClient: setting(
        whole(1, 10_000).default(20),
        'How many requests one app may put to one person within an hour, answered or not.',
      ),
    })
    .prefault({}),
  refresh: z
    .strictObject({
      retryWindowSeconds: setting(
        seconds(0, 300).default(30),
        'The same refresh token again from the same client within this time is a retry and gets the same answer; later it is theft, and the family is revoked.',
      ),
    })
    .prefault({}),
  audit: z
    .strictObject({
      recordIntrospection: setting(
        z.boolean().default(false),
        'Whether successful introspections are recorded.',
      ),
      recordUserinfo: setting(
        z.boolean().default(false),
        'Whether successful userinfo requests are recorded.',
      ),
      commitTimeoutMs: setting(
        whole(100, 60_000).default(5000),
        'How long a response may wait for its audit record, in milliseconds, before it is withheld and the client told to retry.',
      ),
      checkpointSink: setting(
        z.enum(['log', 'file', 'none']).default('log'),
        'Where signed checkpoints of the audit log go. Kept elsewhere, they show when the end of the log was cut off.',
      ),
      checkpointIntervalSeconds: setting(seconds(10, 86_400).default(3600), 'Time between two checkpoints.'),
    })
    .prefault({}),
  keys: z
    .strictObject({
      publishBeforeSigningSeconds: setting(
        seconds(0, 30 * 86_400).default(3600),
        'How long the next signing key is published before it signs: at least as long as applications cache `/oauth/jwks`.',
      ),
      rotateAfterSeconds: setting(
        seconds(0).default(7_776_000),
        'How long a signing key signs before the next one takes over by itself; 0: only when an operator rotates.',
      ),
      algorithms: setting(
        z
          .array(z.enum(['RS256', 'ES256', 'EdDSA', 'ML-DSA-65']))
          .refine((algs) => algs.includes('RS256'), 'must hold RS256, which every application knows')
          .default(['RS256', 'ES256', 'EdDSA']),
        'The algorithms that there are signing keys for. `ML-DSA-65` resists quantum computers; few applications know it yet.',
      ),
      externalUrl: setting(
        text(webUrlFault).exactOptional(),
        'A service of yours that signs, and alone holds the private keys: its address. Its host must be public and https, or stand in `outgoing.allowedHosts`.',
      ),
      externalToken: setting(
        secret.exactOptional(),
        'What proves to that service that it is this server who asks: sent as a bearer token.',
        { secrecy: 'hidden' },
      ),
      externalAlgorithms: setting(
        z.array(z.enum(['RS256', 'ES256', 'EdDSA', 'ML-DSA-65'])).default([]),
        'The algorithms whose keys that service holds. The others are made and kept here.',
      ),
    })
    .prefault({}),
  signOut: z
    .strictObject({
      endsOfflineGrants: setting(
        z.boolean().default(false),
        'Whether signing out also ends what a person let applications do while they are away (`offline_access`). A client may be set otherwise.',
      ),
      giveUpAfterSeconds: setting(
        seconds(60, 30 * 86_400).default(86_400),
        'How long an application that cannot be reached is told of a sign-out again and again, with growing pauses.',
      ),
    })
    .prefault({}),
  registration: registrationSettings.prefault({}),
  outgoing: z
    .strictObject({
      allowedHosts: setting(
        z.array(text(hostOrNetworkFault)).default([]),
        'Hosts, addresses and networks that this server may ask although they are not public: applications on the internal network that are told of sign-outs and answers (CIBA) or publish keys, and the service of `keys.externalUrl`. Only these may be asked by plain http. Not for applications that no operator registered, but for documents of hosts that `registration.documentHosts` names.',
      ),
      timeoutMs: setting(
        whole(100, 60_000).default(5000),
        'How long an application, or the service that signs, may take to answer when this server asks it, in milliseconds.',
      ),
    })
    .prefault({}),
  demo: setting(
    z.boolean().default(false),
    'Whether two demonstration applications are registered and served. In development they are, unless set; production refuses them.',
  ),
  branding: z
    .strictObject({
      name: setting(
        z.string().min(1).max(64).default('Gatehouse'),
        'The name that people see on every page.',
      ),
      privacyUrl: setting(text(webUrlFault).exactOptional(), 'Your privacy notice, linked from the pages.'),
      termsUrl: setting(text(webUrlFault).exactOptional(), 'Your terms of use, linked from the pages.'),
    })
    .prefault({}),
});

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** The effective configuration, deeply frozen. */
export type Config = DeepReadonly<z.infer<typeof configSchema>>;
