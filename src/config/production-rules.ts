import type { Problem } from './problem.ts';
import type { RuleBroken } from './relations.ts';
import type { Config } from './schema.ts';
import { asWritten, settingAt, type Origin } from './settings.ts';

interface Rule {
  code: string;
  path: string;
  broken: (config: Config) => boolean;
  message: (config: Config) => string;
  remedy: string;
}

/** What production refuses. Rules that ask the running database or Redis are checked where those are opened. */
const refusals: readonly Rule[] = [
  {
    code: 'production_database_embedded',
    path: 'database.url',
    broken: ({ database }) => database.url === undefined,
    message: () => 'is not set, and production does not run on the embedded database.',
    remedy: 'Set it to a PostgreSQL 15 or later: postgres://user:password@host/database.',
  },
  {
    code: 'production_issuer_not_https',
    path: 'issuer',
    broken: ({ issuer }) => !issuer.startsWith('https://'),
    message: ({ issuer }) => `must be https in production; it is ${issuer}.`,
    remedy: 'Set it to the public https address of this server, such as https://id.example.com.',
  },
  {
    code: 'production_secret_key_missing',
    path: 'secretKey',
    broken: ({ secretKey }) => secretKey === undefined,
    message: () => 'is not set, and production does not make up a key that only one machine knows.',
    remedy:
      'Make one with `openssl rand -base64 48` and give the same to every process, best by GATEHOUSE_SECRET_KEY_FILE.',
  },
  {
    code: 'production_demo_on',
    path: 'demo',
    broken: ({ demo }) => demo,
    message: () => 'is on, but the demonstration applications are for development only.',
    remedy: 'Turn it off.',
  },
  {
    code: 'production_hashing_weak',
    path: 'password.memoryKib',
    // The weakest of the settings that OWASP's password storage cheat sheet holds equal: 7 MiB and 5 passes.
    broken: ({ password }) =>
      password.memoryKib < 7168 || password.memoryKib * password.iterations < 7168 * 5,
    message: ({ password }) =>
      `makes password hashes too cheap to guess: ${password.memoryKib} KiB and ${password.iterations} passes.`,
    remedy: 'Keep the defaults, 19456 KiB and 2 passes, or use more memory or passes.',
  },
];

/** What production allows but an operator should know. */
const notices: readonly Rule[] = [
  {
    code: 'redis_missing',
    path: 'redis.url',
    broken: ({ redis }) => redis.url === undefined,
    message: () => 'is not set: sessions and tokens are kept in PostgreSQL.',
    remedy:
      'That is safe, but costs PostgreSQL several writes for each sign-in; set it to a Redis 7 to take them off.',
  },
  {
    code: 'trusted_proxies_missing',
    path: 'trustedProxies',
    broken: ({ trustedProxies }) => trustedProxies.length === 0,
    message: () =>
      'is not set: behind a proxy, every request seems to come from the proxy’s own address, in the audit log and to the throttle.',
    remedy: 'List the addresses or networks of the proxies that end TLS in front of this server.',
  },
];

/** Everything production refuses in this configuration, all at once; nothing in other profiles. */
export function productionProblems(input: RuleInput): RuleBroken[] {
  return apply(refusals, input);
}

/** What to say once at the start in production; nothing in other profiles. */
export function productionNotices(input: RuleInput): Problem[] {
  return apply(notices, input).map(({ problem }) => problem);
}

interface RuleInput {
  config: Config;
  origins: Readonly<Record<string, Origin>>;
}

function apply(rules: readonly Rule[], { config, origins }: RuleInput): RuleBroken[] {
  if (config.env !== 'production') return [];
  return rules
    .filter(({ broken }) => broken(config))
    .map(({ code, path, message, remedy }) => ({
      paths: [path],
      problem: { code, setting: asWritten(settingAt(path), origins[path]), message: message(config), remedy },
    }));
}
