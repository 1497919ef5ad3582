import { setImmediate as turnOfTheEventLoop } from 'node:timers/promises';

/**
 * Turns the look-ups of many requests into few: all that are asked for within a turn of the event loop are looked up
 * together. A call never resolves with what was read before it.
 *
 * @param lookUp by key; what it leaves out is not there. Where it throws, everybody who asked along hears of it
 */
export function gather<Value>(
  lookUp: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
): (key: string) => Promise<Value | undefined> {
  let keys = new Set<string>();
  let found: Promise<ReadonlyMap<string, Value>> | undefined;

  const begin = async (): Promise<ReadonlyMap<string, Value>> => {
    await turnOfTheEventLoop();
    const asked = [...keys];
    keys = new Set();
    found = undefined;
    return lookUp(asked);
  };
  return async (key) => {
    keys.add(key);
    found ??= begin();
    return (await found).get(key);
  };
}
