/**
 * How often a client may ask whether a person has answered (RFC 8628 §3.5, CIBA Core §7.3): the same for device codes
 * and for backchannel requests. One mark per code, held for the interval, and taken by compare-and-set in the store: of
 * however many polls at once, one is looked at.
 */
import { errors, Provider } from 'oidc-provider';

import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import { digest, randomToken } from '../platform/ids.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { OidcStore } from './store/port.ts';

export interface PollingDependencies {
  store: Pick<OidcStore, 'markOnce' | 'unmark'>;
  /** What clients are told as `interval`. */
  intervalSeconds: number;
}

/** Networks are not even: a client that keeps to the interval must not be told that it does not. */
const TOLERANCE_SECONDS = 0.5;

/** Answers `slow_down` to who asks for the tokens of such a code again within the interval. */
export function limitPolling(
  provider: Provider,
  name: 'DeviceCode' | 'BackchannelAuthenticationRequest',
  dependencies: PollingDependencies,
): void {
  const model = provider[name] as unknown as {
    find: (id: string, options?: object) => Promise<{ clientId?: string } | undefined>;
  };
  const { find } = model;
  model.find = async function findAtIntervals(this: typeof model, id, options) {
    const found = await find.call(this, id, options);
    const oidc = Provider.ctx?.oidc;
    // Somebody else's code is refused by the library, and costs its owner no poll.
    const isPoll = oidc?.route === 'token' && found?.clientId === oidc.client?.clientId;
    if (found && isPoll) await refuseEarly(`poll ${name} ${digest(name, id)}`, dependencies);
    return found;
  };
}

/** @throws SlowDown */
async function refuseEarly(key: string, { store, intervalSeconds }: PollingDependencies): Promise<void> {
  const spender = randomToken(16);
  // A poll that was withheld was none: the client may come again at once.
  currentUnitOfWork()?.onRollback(() => store.unmark(key, spender));
  const isFirst = await orTemporarilyUnavailable(() =>
    store.markOnce(key, spender, intervalSeconds - TOLERANCE_SECONDS),
  );
  if (!isFirst) throw new errors.SlowDown();
}
