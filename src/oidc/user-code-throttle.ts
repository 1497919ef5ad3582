/**
 * Limits to guessing user codes (RFC 8628 §5.1): by network, which a guesser cannot change at will, and by browser
 * session, for a person who mistypes is told to wait before a whole office is. A code has 34 bits, lives for minutes,
 * and most guesses meet none at all.
 */
import { networkOf } from '../accounts/sign-in-throttle.ts';
import { keyedDigest } from '../platform/ids.ts';
import type { RateLimiter } from '../platform/rate-limit.ts';
import type { Sealer } from '../platform/seal.ts';

export interface UserCodeLimiters {
  /** By browser session. */
  session: RateLimiter;
  /** By network. */
  address: RateLimiter;
}

export type CountedEntry =
  /** `succeed`: it was no guess, there is such a code. */
  { kind: 'allowed'; succeed: () => Promise<void> } | { kind: 'throttled'; retryAfterSeconds: number };

export interface UserCodeThrottle {
  /** Counts an entry before the code is looked up. @throws AppError 503 `throttle_unavailable` */
  begin: (entry: { address: string; sessionUid: string }) => Promise<CountedEntry>;
}

export function createUserCodeThrottle({
  limiters,
  sealer,
}: {
  limiters: UserCodeLimiters;
  sealer: Sealer;
}): UserCodeThrottle {
  const secret = sealer.deriveKey('throttle');
  return {
    begin: async ({ address, sessionUid }) => {
      const sessionKey = keyedDigest(secret, 'user code session', sessionUid);
      const byAddress = await limiters.address.attempt(
        keyedDigest(secret, 'user code network', networkOf(address)),
      );
      if (byAddress.kind === 'throttled') return byAddress;
      const bySession = await limiters.session.attempt(sessionKey);
      if (bySession.kind === 'throttled') {
        await byAddress.giveBack();
        return bySession;
      }
      return {
        kind: 'allowed',
        succeed: async () => {
          await limiters.session.reset(sessionKey);
          // Given back, not reset: else a code of one's own would wipe out the guesses at others.
          await byAddress.giveBack();
        },
      };
    },
  };
}
