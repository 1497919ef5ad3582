import { after, stateAt } from './keyset.ts';
import type { KeyTimes, SigningAlg } from './signing-key.ts';

/** When keys change by themselves. */
export interface RotationSchedule {
  /** How long a key signs; 0: until an operator rotates. */
  rotateAfterSeconds: number;
  publishBeforeSigningSeconds: number;
}

/**
 * The algorithms whose next key is to be made now: so early that it has been published long enough when the current one
 * has signed for as long as it may. One that has a next key, or is about to end, needs none.
 */
export function dueForRotation(
  keys: readonly KeyTimes[],
  now: Date,
  { rotateAfterSeconds, publishBeforeSigningSeconds }: RotationSchedule,
): SigningAlg[] {
  if (rotateAfterSeconds === 0) return [];
  const current = keys.filter((key) => stateAt(key, now) === 'current' && !key.retiresAt);
  const old = current.filter(
    ({ activatesAt }) => after(activatesAt, rotateAfterSeconds - publishBeforeSigningSeconds) <= now,
  );
  return [...new Set(old.map(({ alg }) => alg))];
}

/** Whether the newest cookie key is as old as a signing key may become. */
export function areCookieKeysDue(
  keys: readonly { activatesAt: Date }[],
  now: Date,
  { rotateAfterSeconds }: Pick<RotationSchedule, 'rotateAfterSeconds'>,
): boolean {
  return (
    rotateAfterSeconds > 0 &&
    keys.length > 0 &&
    keys.every(({ activatesAt }) => after(activatesAt, rotateAfterSeconds) <= now)
  );
}
