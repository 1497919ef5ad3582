/** What is to become of a notice after one attempt. */
export type Outcome =
  | { kind: 'delivered'; status: number }
  /** The application understood and will not have it: for logout tokens, OIDC Back-Channel Logout 1.0 §2.8. */
  | { kind: 'refused'; status: number }
  | { kind: 'later'; nextAttemptAt: Date; reason: string }
  | { kind: 'given_up'; reason: string };

const FIRST_PAUSE_SECONDS = 2;
const LONGEST_PAUSE_SECONDS = 3_600;

export type Attempted =
  | { kind: 'answered'; status: number }
  | { kind: 'failed'; reason: string }
  /** The client was deleted, or wants no notices any more. */
  | { kind: 'nobody' };

/**
 * 200 and 204 are success, 400 is final, everything else passes by itself or is mended: tried again.
 *
 * @param attempts how many there have been, this one included
 * @param spread 0 to 1: the pause is lengthened by up to a fifth of it, so that what failed together does not come
 *   back together
 */
export function judgeAttempt(
  attempted: Attempted,
  { attempts, now, givesUpAt, spread }: { attempts: number; now: Date; givesUpAt: Date; spread: number },
): Outcome {
  if (attempted.kind === 'nobody') return { kind: 'given_up', reason: 'the client has no address for it' };
  if (attempted.kind === 'answered') {
    const { status } = attempted;
    if (status === 200 || status === 204) return { kind: 'delivered', status };
    if (status === 400) return { kind: 'refused', status };
  }
  const reason = attempted.kind === 'answered' ? `status ${attempted.status}` : attempted.reason;
  const nextAttemptAt = new Date(now.getTime() + pauseSeconds(attempts) * (1 + spread / 5) * 1000);
  return nextAttemptAt > givesUpAt ? { kind: 'given_up', reason } : { kind: 'later', nextAttemptAt, reason };
}

/** 2, 4, 8, … seconds, an hour at most. */
export function pauseSeconds(attempts: number): number {
  return Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** Math.min(attempts - 1, 30));
}
