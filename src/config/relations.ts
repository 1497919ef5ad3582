import type { Problem } from './problem.ts';
import type { Config } from './schema.ts';
import { asWritten, environmentNameOf, settingAt, settings, type Origin } from './settings.ts';

/** A problem, and the paths of the settings that it follows from. */
export interface RuleBroken {
  paths: readonly string[];
  problem: Problem;
}

interface Relation {
  /** The setting to blame, then the ones it is measured by. */
  paths: readonly [string, ...string[]];
  holds: (config: Config) => boolean;
  message: (config: Config) => string;
  remedy: string;
}

const relations: readonly Relation[] = [
  {
    paths: ['ttl.refreshTokenIdleSeconds', 'ttl.refreshTokenAbsoluteSeconds'],
    holds: ({ ttl }) => ttl.refreshTokenIdleSeconds <= ttl.refreshTokenAbsoluteSeconds,
    message: ({ ttl }) =>
      `is longer than the ${ttl.refreshTokenAbsoluteSeconds} s after which a refresh token ends anyway.`,
    remedy: 'Lower it, or raise ttl.refreshTokenAbsoluteSeconds.',
  },
  {
    paths: ['ttl.sessionIdleSeconds', 'ttl.sessionSeconds'],
    holds: ({ ttl }) => ttl.sessionIdleSeconds <= ttl.sessionSeconds,
    message: ({ ttl }) => `is longer than the ${ttl.sessionSeconds} s after which a session ends anyway.`,
    remedy: 'Lower it, or raise ttl.sessionSeconds.',
  },
  {
    paths: ['registration.open', 'registration.enabled'],
    holds: ({ registration }) => registration.enabled || !registration.open,
    message: () => 'is on, but registration itself is off.',
    remedy: 'Set registration.enabled too, or turn it off.',
  },
  {
    paths: ['registration.unusedAfterSeconds', 'ttl.refreshTokenIdleSeconds'],
    holds: ({ registration, ttl }) =>
      registration.unusedAfterSeconds === 0 || registration.unusedAfterSeconds >= ttl.refreshTokenIdleSeconds,
    message: ({ ttl }) =>
      `is shorter than the ${ttl.refreshTokenIdleSeconds} s for which a refresh token may lie unused.`,
    remedy: 'Raise it, lower ttl.refreshTokenIdleSeconds, or set it to 0 to keep clients for ever.',
  },
  {
    paths: ['throttle.baseDelaySeconds', 'throttle.maxDelaySeconds'],
    holds: ({ throttle }) => throttle.baseDelaySeconds <= throttle.maxDelaySeconds,
    message: ({ throttle }) => `is longer than the longest wait, ${throttle.maxDelaySeconds} s.`,
    remedy: 'Lower it, or raise throttle.maxDelaySeconds.',
  },
  {
    paths: ['password.memoryKib', 'password.parallelism'],
    holds: ({ password }) => password.memoryKib >= 8 * password.parallelism,
    message: ({ password }) => `is less than argon2 needs for ${password.parallelism} lanes (RFC 9106 §3.1).`,
    remedy: 'Give at least 8 KiB for each lane of password.parallelism.',
  },
  {
    paths: ['keys.rotateAfterSeconds', 'keys.publishBeforeSigningSeconds'],
    holds: ({ keys }) =>
      keys.rotateAfterSeconds === 0 || keys.rotateAfterSeconds > keys.publishBeforeSigningSeconds,
    message: ({ keys }) =>
      `is not longer than the ${keys.publishBeforeSigningSeconds} s for which the next key is published before it signs.`,
    remedy: 'Raise it, lower keys.publishBeforeSigningSeconds, or set it to 0 to rotate by hand.',
  },
  {
    paths: ['keys.externalAlgorithms', 'keys.externalUrl', 'keys.algorithms'],
    holds: ({ keys }) =>
      (keys.externalAlgorithms.length === 0 || keys.externalUrl !== undefined) &&
      keys.externalAlgorithms.every((alg) => keys.algorithms.includes(alg)),
    message: () => 'names algorithms that nobody signs with.',
    remedy: 'Set keys.externalUrl, and list each algorithm in keys.algorithms too.',
  },
  {
    paths: ['tls.keyPath', 'tls.certificatePath'],
    holds: ({ tls }) => (tls.keyPath === undefined) === (tls.certificatePath === undefined),
    message: () => 'and the certificate go together, and one of them is missing.',
    remedy: 'Set both tls.keyPath and tls.certificatePath, or neither.',
  },
  {
    paths: ['tls.keyPath', 'issuer'],
    holds: ({ tls, issuer }) => tls.keyPath === undefined || issuer.startsWith('https:'),
    message: ({ issuer }) => `makes this server speak TLS, and the issuer is ${issuer}.`,
    remedy: 'Set the issuer to its https address.',
  },
  {
    paths: ['tls.requestClientCertificates', 'tls.keyPath', 'tls.clientCaPath'],
    holds: ({ tls }) =>
      tls.keyPath !== undefined || (!tls.requestClientCertificates && tls.clientCaPath === undefined),
    message: () => 'and tls.clientCaPath are for a server that ends TLS itself.',
    remedy: 'Set tls.keyPath and tls.certificatePath, or mtls.header where a proxy ends TLS.',
  },
  {
    paths: ['mtls.header', 'trustedProxies'],
    holds: ({ mtls, trustedProxies }) => mtls.header === undefined || trustedProxies.length > 0,
    message: () => 'is believed from trusted proxies only, and there are none.',
    remedy: 'List in trustedProxies the proxies that write it.',
  },
  {
    paths: ['mtls.verifiedHeader', 'mtls.header', 'mtls.proxyVerifies'],
    holds: ({ mtls }) =>
      mtls.header === undefined
        ? mtls.verifiedHeader === undefined && !mtls.proxyVerifies
        : mtls.verifiedHeader?.toLowerCase() !== mtls.header.toLowerCase(),
    message: () => 'speaks of the certificate in mtls.header, which must be set, and another header.',
    remedy: 'Set mtls.header to the header that carries the certificate.',
  },
];

/** Settings that contradict each other, in any profile. */
export function relationProblems({
  config,
  origins,
}: {
  config: Config;
  origins: Readonly<Record<string, Origin>>;
}): RuleBroken[] {
  return relations
    .filter(({ holds }) => !holds(config))
    .map(({ paths, message, remedy }) => ({
      paths,
      problem: {
        code: 'contradicting_settings',
        setting: asWritten(settingAt(paths[0]), origins[paths[0]]),
        message: inWordsOf(origins[paths[0]], message(config)),
        remedy: inWordsOf(origins[paths[0]], remedy),
      },
    }));
}

/** Whoever writes environment variables is told the others by their names there too. */
function inWordsOf(origin: Origin | undefined, text: string): string {
  if (origin?.kind === 'file') return text;
  return text.replaceAll(/\b[a-z]+\.[a-z][a-zA-Z]+\b|\btrustedProxies\b/g, (path) =>
    settings.some((setting) => setting.path === path) ? environmentNameOf(path) : path,
  );
}
