import { SIGNING_ALGS, type KeyTimes, type SigningAlg, type SigningKeyState } from './signing-key.ts';

/** The keys of a moment, in the order to publish them. */
export interface KeysetView<Key extends KeyTimes> {
  /** One for each algorithm that has a key. */
  signing: Key[];
  next: Key[];
  retired: Key[];
  /** When this view ends by itself. */
  nextChangeAt?: Date;
}

export function stateAt(key: KeyTimes, now: Date): SigningKeyState {
  if (key.removesAt && key.removesAt <= now) return 'removed';
  if (key.retiresAt && key.retiresAt <= now) return 'retired';
  return key.activatesAt > now ? 'next' : 'current';
}

/**
 * Sorts keys by what they do now. An algorithm whose only key is not active yet (the clock of the process that made
 * it is ahead of ours) signs with that one, rather than with none.
 */
export function viewAt<Key extends KeyTimes>(keys: readonly Key[], now: Date): KeysetView<Key> {
  const inState = (state: SigningKeyState): Key[] =>
    keys
      .filter((key) => stateAt(key, now) === state)
      .sort((one, other) => other.activatesAt.getTime() - one.activatesAt.getTime());
  const current = inState('current');
  const waiting = inState('next');
  const signing = SIGNING_ALGS.flatMap((alg) => {
    const key = current.find(ofAlg(alg)) ?? waiting.findLast(ofAlg(alg));
    return key ? [key] : [];
  });
  const nextChangeAt = firstAfter(now, keys);
  return {
    signing,
    next: waiting.filter((key) => !signing.includes(key)),
    // Two current keys of one algorithm cannot come from us; should they, the older one verifies and no more.
    retired: [...current.filter((key) => !signing.includes(key)), ...inState('retired')],
    ...(nextChangeAt && { nextChangeAt }),
  };
}

export interface RotationTimes {
  /** How long relying parties see a key before it signs. */
  publishBeforeSigningSeconds: number;
  /** How long a signature must be verifiable after it was made. */
  longestTokenSeconds: number;
}

/** What is to be written for one algorithm. */
export type RotationPlan =
  | { kind: 'create'; activatesAt: Date; previous?: Ending }
  | { kind: 'bring_forward'; kid: string; activatesAt: Date; previous?: Ending }
  | { kind: 'under_way'; kid: string; activatesAt: Date };

/** The end of the key that another follows. */
export interface Ending {
  kid: string;
  retiresAt: Date;
  removesAt: Date;
}

/**
 * Clocks differ, and a process learns of a change up to a second late: a retired key stays published that much longer
 * than its last token, as far as we know, needs it.
 */
export const CLOCK_SLACK_SECONDS = 60;

/** @param keys those of one algorithm */
export function planRotation(
  keys: readonly KeyTimes[],
  now: Date,
  times: RotationTimes,
  { immediately = false }: { immediately?: boolean } = {},
): RotationPlan {
  const waiting = keys.find((key) => stateAt(key, now) === 'next' && !key.retiresAt);
  const current = keys.find((key) => stateAt(key, now) === 'current');
  if (waiting && !immediately) {
    return { kind: 'under_way', kid: waiting.kid, activatesAt: waiting.activatesAt };
  }
  const activatesAt = immediately || !current ? now : after(now, times.publishBeforeSigningSeconds);
  const previous = current && { previous: endingOf(current.kid, activatesAt, times) };
  return waiting
    ? { kind: 'bring_forward', kid: waiting.kid, activatesAt, ...previous }
    : { kind: 'create', activatesAt, ...previous };
}

/** The end of a key that signs until then, and whose tokens are verified until they have expired. */
export function endingOf(
  kid: string,
  retiresAt: Date,
  { longestTokenSeconds }: Pick<RotationTimes, 'longestTokenSeconds'>,
): Ending {
  return { kid, retiresAt, removesAt: after(retiresAt, longestTokenSeconds + CLOCK_SLACK_SECONDS) };
}

export function after(time: Date, seconds: number): Date {
  return new Date(time.getTime() + seconds * 1_000);
}

function ofAlg(alg: SigningAlg): (key: KeyTimes) => boolean {
  return (key) => key.alg === alg;
}

function firstAfter(now: Date, keys: readonly KeyTimes[]): Date | undefined {
  const times = keys
    .filter((key) => stateAt(key, now) !== 'removed')
    .flatMap(({ activatesAt, retiresAt, removesAt }) => [activatesAt, retiresAt, removesAt])
    .filter((time) => time !== undefined && time > now) as Date[];
  return times.sort((one, other) => one.getTime() - other.getTime())[0];
}
