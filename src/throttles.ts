/** What slows guessing down, each by name, browser or network: how often one may try is the operator's. */
import { createSignInThrottle, networkOf } from './accounts/sign-in-throttle.ts';
import type { Config } from './config/schema.ts';
import { createUserCodeThrottle } from './oidc/user-code-throttle.ts';
import { type Attempt, createRateLimiter, type RateLimiter } from './platform/rate-limit.ts';
import type { State } from './state.ts';
import { growingDelay } from './subjects.ts';

export interface Throttles {
  signIn: ReturnType<typeof createSignInThrottle>;
  userCode: ReturnType<typeof createUserCodeThrottle>;
  /** By the network of an address. */
  registration: (address: string) => Promise<Attempt>;
}

export function createThrottles({
  config,
  state: { redis, db, sealer, clock },
}: {
  config: Config;
  state: State;
}): Throttles {
  const { keyPrefix } = config.redis;
  const limiter = (name: string, freeAttempts: number): RateLimiter =>
    createRateLimiter({ redis, db, keyPrefix, ...growingDelay(config), name, freeAttempts });
  const { throttle } = config;
  const registration = limiter('registration', config.registration.addressFreeAttempts);
  return {
    signIn: createSignInThrottle({
      sealer,
      clock,
      limiters: {
        account: limiter('account', throttle.accountFreeFailures),
        device: limiter('device', throttle.deviceFreeFailures),
        address: limiter('address', throttle.addressFreeFailures),
      },
    }),
    userCode: createUserCodeThrottle({
      sealer,
      limiters: {
        session: limiter('user-code-session', throttle.userCodeFreeFailures),
        address: limiter('user-code-address', throttle.userCodeAddressFreeFailures),
      },
    }),
    registration: (address) => registration.attempt(networkOf(address)),
  };
}
