import type { Problem } from './problem.ts';
import type { Config } from './schema.ts';
import { asWritten, settingAt, type Origin } from './settings.ts';

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
        message: message(config),
        remedy,
      },
    }));
}
