import { z } from 'zod';

import type { Clock } from '../platform/clock.ts';
import { randomToken } from '../platform/ids.ts';
import type { Sealer } from '../platform/seal.ts';

/** After this long without signing in, a browser is a stranger again. */
export const DEVICE_DAYS = 365;
/** How many accounts one browser is remembered for; the oldest is forgotten first. */
const MAX_ACCOUNTS = 5;
const CONTEXT = 'device';

/** Short names: all of this travels in a cookie. */
const deviceSchema = z.array(
  z.strictObject({
    /** accounts.id */
    a: z.string(),
    /** Names the counter: random, so that two browsers of one person have two. */
    r: z.string(),
    /** The throttle's keys of the names by which the person may sign in. */
    k: z.array(z.string()).max(2),
    /** When it was issued, in seconds since the epoch. */
    t: z.number().int(),
  }),
);

type Device = z.infer<typeof deviceSchema>;

/**
 * The value of the device cookie: the browser that holds it has signed in to these accounts before. Sealed, so that
 * nobody can make one, nor read from one who uses the browser. It proves nothing; it only chooses which counter an attempt
 * is held against.
 *
 * @param previous the value that the browser sent, if any: its other accounts are kept
 * @param keys the throttle's keys of the account's e-mail address and user name
 */
export function issueDeviceToken({
  sealer,
  clock,
  previous,
  accountId,
  keys,
}: {
  sealer: Sealer;
  clock: Clock;
  previous: string | undefined;
  accountId: string;
  keys: readonly string[];
}): string {
  const known = readDevice({ sealer, clock, token: previous });
  // The counter keeps its name, or signing in would be a way around it for whoever took the cookie.
  const random = known.find(({ a }) => a === accountId)?.r ?? randomToken(12);
  const issuedAt = Math.floor(clock.now().getTime() / 1000);
  const device: Device = [
    { a: accountId, r: random, k: [...keys], t: issuedAt },
    ...known.filter(({ a }) => a !== accountId),
  ].slice(0, MAX_ACCOUNTS);
  return sealer.seal(JSON.stringify(device), CONTEXT);
}

/**
 * @param key the throttle's key of the name that was typed
 * @returns the name of the browser's own counter for it; undefined where the browser is a stranger to that name
 */
export function findDeviceCounter({
  sealer,
  clock,
  token,
  key,
}: {
  sealer: Sealer;
  clock: Clock;
  token: string | undefined;
  key: string;
}): string | undefined {
  return readDevice({ sealer, clock, token }).find(({ k }) => k.includes(key))?.r;
}

/** Whatever is not a value of ours, or too old, is nobody's: a cookie is never an error. */
function readDevice({
  sealer,
  clock,
  token,
}: {
  sealer: Sealer;
  clock: Clock;
  token: string | undefined;
}): Device {
  if (!token) return [];
  try {
    const device = deviceSchema.parse(JSON.parse(sealer.open(token, CONTEXT).toString('utf8')));
    const oldest = clock.now().getTime() / 1000 - DEVICE_DAYS * 86_400;
    return device.filter(({ t }) => t > oldest);
  } catch {
    return [];
  }
}
