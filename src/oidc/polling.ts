/**
 * How often a client may ask whether a person has answered (RFC 8628 §3.5, CIBA Core §7.3): the same for device codes
 * and for backchannel requests. Counted by one atomic step in the store, so that of however many questions at once, on
 * however many machines, one is looked at.
 */
import { errors, Provider } from 'oidc-provider';

import { digest } from '../platform/ids.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { OidcStore } from './store/port.ts';

export interface PollingDependencies {
  store: Pick<OidcStore, 'poll'>;
  /** What clients are told as `interval`. */
  intervalSeconds: number;
}

/** What a client that asked too early has to add to its interval (RFC 8628 §3.5). */
const STEP_SECONDS = 5;

/** How long a question is remembered; longer than any interval gets. */
const REMEMBERED_SECONDS = 3600;

interface Pending {
  clientId?: string;
  /** Both absent while nobody has decided. */
  grantId?: string;
  error?: string;
  isExpired?: boolean;
}

/**
 * Answers `slow_down` to who asks again within the interval while nobody has decided. What is decided is handed over
 * without delay, and what was spent is refused as such.
 */
export function limitPolling(
  provider: Provider,
  name: 'DeviceCode' | 'BackchannelAuthenticationRequest',
  dependencies: PollingDependencies,
): void {
  const model = provider[name] as unknown as {
    find: (id: string, options?: object) => Promise<Pending | undefined>;
  };
  const { find } = model;
  model.find = async function findAtIntervals(this: typeof model, id, options) {
    const found = await find.call(this, id, options);
    const oidc = Provider.ctx?.oidc;
    // Somebody else's code is refused by the library, and costs its owner no poll.
    const isPoll = oidc?.route === 'token' && found?.clientId === oidc.client?.clientId;
    if (found && isPoll && isPending(found)) await refuseEarly(digest('poll', name, id), dependencies);
    return found;
  };
}

function isPending({ grantId, error, isExpired }: Pending): boolean {
  return grantId === undefined && error === undefined && isExpired !== true;
}

/** @throws SlowDown */
async function refuseEarly(key: string, { store, intervalSeconds }: PollingDependencies): Promise<void> {
  const polling = await orTemporarilyUnavailable(() =>
    store.poll(key, { intervalSeconds, stepSeconds: STEP_SECONDS, ttlSeconds: REMEMBERED_SECONDS }),
  );
  if (polling.kind === 'too-early') throw new errors.SlowDown();
}
