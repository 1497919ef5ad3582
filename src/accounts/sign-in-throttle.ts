import { isIPv4 } from 'node:net';

import { systemClock, type Clock } from '../platform/clock.ts';
import { keyedDigest } from '../platform/ids.ts';
import type { RateLimiter } from '../platform/rate-limit.ts';
import type { Sealer } from '../platform/seal.ts';
import { findDeviceCounter, issueDeviceToken } from './devices.ts';
import { normaliseIdentifier } from './identifier.ts';

/** The limiters of `createRateLimiter`, each with a name and numbers of its own. */
export interface SignInLimiters {
  /** By the name that was typed, from browsers that never signed in under it. */
  account: RateLimiter;
  /** By browser and name, from those that did. */
  device: RateLimiter;
  /** By network, from browsers that never signed in. */
  address: RateLimiter;
}

export type CountedAttempt =
  | {
      kind: 'allowed';
      isKnownDevice: boolean;
      /** The password was right: forgets the failures of this counter. */
      succeed: () => Promise<void>;
      /** Nothing was guessed after all. */
      giveBack: () => Promise<void>;
    }
  | { kind: 'throttled'; retryAfterSeconds: number; by: 'account' | 'device' | 'address' };

export interface SignInThrottle {
  /**
   * Counts an attempt before anything is known about the account. Names are counted whether or not an account has them,
   * and an account's two names apart, or the delay would tell which exist.
   *
   * @throws AppError 503 `throttle_unavailable`
   */
  begin: (attempt: {
    identifier: string;
    address: string;
    deviceId: string | undefined;
  }) => Promise<CountedAttempt>;
  /** The device cookie's next value after a success. */
  rememberDevice: (device: {
    previous: string | undefined;
    account: { id: string; email: string; username?: string };
  }) => string;
}

/**
 * Two rules meet here: a stranger's guesses are slowed down, by name and by network; and they never lock the owner out,
 * whose browser has a counter that nobody else can use up, not even from the owner's own network.
 */
export function createSignInThrottle({
  limiters,
  sealer,
  clock = systemClock,
}: {
  limiters: SignInLimiters;
  sealer: Sealer;
  clock?: Clock;
}): SignInThrottle {
  const secret = sealer.deriveKey('throttle');
  const keyOf = (identifier: string): string =>
    keyedDigest(secret, 'identifier', normaliseIdentifier(identifier));

  const beginKnown = async (key: string): Promise<CountedAttempt> => {
    const counted = await limiters.device.attempt(key);
    if (counted.kind === 'throttled') return { ...counted, by: 'device' };
    return {
      kind: 'allowed',
      isKnownDevice: true,
      succeed: () => limiters.device.reset(key),
      giveBack: counted.giveBack,
    };
  };

  const beginStranger = async (key: string, address: string): Promise<CountedAttempt> => {
    const byAddress = await limiters.address.attempt(keyedDigest(secret, 'network', networkOf(address)));
    if (byAddress.kind === 'throttled') return { ...byAddress, by: 'address' };
    const byAccount = await limiters.account.attempt(key);
    if (byAccount.kind === 'throttled') {
      await byAddress.giveBack();
      return { ...byAccount, by: 'account' };
    }
    return {
      kind: 'allowed',
      isKnownDevice: false,
      succeed: async () => {
        await limiters.account.reset(key);
        // Given back, not reset: else an account of one's own would wipe out the guesses at others.
        await byAddress.giveBack();
      },
      giveBack: async () => {
        await byAccount.giveBack();
        await byAddress.giveBack();
      },
    };
  };

  return {
    begin: ({ identifier, address, deviceId }) => {
      const key = keyOf(identifier);
      const device = findDeviceCounter({ sealer, clock, token: deviceId, key });
      return device === undefined
        ? beginStranger(key, address)
        : beginKnown(keyedDigest(secret, 'device', device, key));
    },
    rememberDevice: ({ previous, account }) =>
      issueDeviceToken({
        sealer,
        clock,
        previous,
        accountId: account.id,
        keys: [account.email, ...(account.username === undefined ? [] : [account.username])].map(keyOf),
      }),
  };
}

/**
 * Whom an address counts as: itself for IPv4 (also where it comes mapped, RFC 4291 §2.5.5.2), its /64 for IPv6, for
 * that is what one customer has at least.
 */
export function networkOf(address: string): string {
  const bare = address.replace(/%.*$/, '');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined || isIPv4(bare)) return mapped ?? bare;
  // The URL parser writes every spelling of an IPv6 address in one way (RFC 5952).
  const written = URL.parse(`http://[${bare}]/`)?.hostname.slice(1, -1);
  if (written === undefined) return bare;
  const [head = '', tail] = written.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [
    ...before,
    ...Array.from({ length: 8 - before.length - after.length }, () => '0'),
    ...after,
  ];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
