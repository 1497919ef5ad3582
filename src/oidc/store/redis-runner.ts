/**
 * Sends the operations of redis-scripts.ts. On one server, what a turn of the event loop asks for goes as one command, in
 * the order in which it was asked for: most of what a command costs, here and there, is the command. In a cluster, and
 * behind an address that spreads keys over several servers, each goes by itself, for it is sent by its key.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turnOfTheEventLoop } from 'node:timers/promises';
import { types } from 'node:util';

import { randomToken } from '../../platform/ids.ts';
import { isRedisCluster, type Redis } from '../../platform/redis.ts';
import { type Operation, PROGRAM } from './redis-scripts.ts';

const SHA = createHash('sha1').update(PROGRAM).digest('hex');

/** More would keep everybody else at that server waiting. */
const MAX_OPERATIONS = 64;

/** So many keys would all lie on one of two servers once in thirty thousand times. */
const PROBES = 16;
const PROBE_MS = 10_000;

interface Call {
  operation: Operation;
  key: string;
  args: readonly (string | number)[];
}

interface Batch {
  calls: Call[];
  results: Promise<unknown[]>;
}

export type RunScript = (
  operation: Operation,
  key: string,
  args: readonly (string | number)[],
) => Promise<unknown>;

/** @param keyPrefix before each key, without its colon */
export function createScriptRunner(redis: Redis, keyPrefix: string): RunScript {
  const alone: RunScript = async (operation, key, args) =>
    resultOf(await evaluate(redis, [{ operation, key, args }]), 0);
  return isRedisCluster(redis) ? alone : createGatheringRunner(redis, keyPrefix, alone);
}

function createGatheringRunner(redis: Redis, keyPrefix: string, alone: RunScript): RunScript {
  /** Unknown until it was tried, and while it cannot be. */
  let isOneServer: boolean | undefined;
  let trial: Promise<void> | undefined;
  let batch: Batch | undefined;

  const tryTogether = async (): Promise<void> => {
    isOneServer = await keepsKeysTogether(redis, keyPrefix);
    trial = undefined;
  };

  const begin = (): Batch => {
    const calls: Call[] = [];
    const send = async (): Promise<unknown[]> => {
      await turnOfTheEventLoop();
      if (batch?.calls === calls) batch = undefined;
      return evaluate(redis, calls);
    };
    return { calls, results: send() };
  };

  return async (operation, key, args) => {
    if (!isOneServer) {
      if (isOneServer === undefined) trial ??= tryTogether();
      return alone(operation, key, args);
    }
    if (!batch || batch.calls.length === MAX_OPERATIONS) batch = begin();
    const { calls, results } = batch;
    const index = calls.push({ operation, key, args }) - 1;
    return resultOf(await results, index);
  };
}

/**
 * Whether all keys that one command names are found again by their own: a proxy may send it where its first key is, and
 * say nothing.
 *
 * @returns undefined where the server does not answer
 */
async function keepsKeysTogether(redis: Redis, keyPrefix: string): Promise<boolean | undefined> {
  const probe = randomToken(8);
  const keys = Array.from({ length: PROBES }, (_, index) => `${keyPrefix}:probe:${probe}${index}`);
  const put = keys.map((key): Call => ({ operation: 'PUT', key, args: [probe, '', PROBE_MS] }));
  try {
    await evaluate(redis, put);
  } catch {
    return (await isThere(redis)) ? false : undefined;
  }
  try {
    const found = await Promise.all(keys.map((key) => redis.hget(key, 'body')));
    return found.every((body) => body === probe);
  } catch {
    return undefined;
  }
}

async function isThere(redis: Redis): Promise<boolean> {
  try {
    return (await redis.ping()) === 'PONG';
  } catch {
    return false;
  }
}

function resultOf(results: readonly unknown[], index: number): unknown {
  const result = results[index];
  if (types.isNativeError(result)) throw result;
  return result;
}

/** By the digest of the program; its text is sent only where this server does not know it yet. */
async function evaluate(redis: Redis, calls: readonly Call[]): Promise<unknown[]> {
  const keys = calls.map(({ key }) => key);
  const args = calls.flatMap(({ operation, args: own }) => [operation, own.length, ...own]);
  try {
    return (await redis.evalsha(SHA, keys.length, ...keys, ...args)) as unknown[];
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
    return (await redis.eval(PROGRAM, keys.length, ...keys, ...args)) as unknown[];
  }
}
