import { Redis } from 'ioredis';

import { AppError } from './errors.ts';

export type { Redis } from 'ioredis';

/**
 * A connection that fails fast: a command sent while Redis is away is refused at once instead of queued, so that
 * requests are answered with 503 rather than piling up.
 */
export function createRedis({
  url,
  onError = () => {},
}: {
  url: string;
  onError?: (error: Error) => void;
}): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 5_000,
    commandTimeout: 5_000,
    enableAutoPipelining: true,
    retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
  });
  redis.on('error', onError);
  return redis;
}

/**
 * Refuses a Redis that would lose tokens by itself.
 *
 * @throws AppError `redis_too_old` below version 7, `redis_evicts` unless `maxmemory-policy` is `noeviction`
 */
export async function assertRedisUsable(redis: Redis): Promise<void> {
  const info = await redis.info();
  const version = /^(?:redis_version):(\d+)\.(\S+)/m.exec(info);
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (Number(version?.[1] ?? 0) < 7) {
    throw new AppError(
      'redis_too_old',
      500,
      `Redis 7 or later (or Valkey) is needed; this one is ${version?.[1]}.${version?.[2]}.`,
    );
  }
  if (policy !== 'noeviction') {
    throw new AppError(
      'redis_evicts',
      500,
      `Redis has maxmemory-policy ${policy}, which drops sessions and replay marks when memory is short. Set it to noeviction.`,
    );
  }
}

/** Whether the fault is that Redis cannot be reached or cannot answer now. */
export function isRedisUnavailable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { message = '', name = '', code = '' } = error as { message?: string; name?: string; code?: string };
  return (
    name === 'MaxRetriesPerRequestError' ||
    code === 'ECONNREFUSED' ||
    code === 'ECONNRESET' ||
    /Stream isn't writeable|Connection is closed|Command timed out|^LOADING|^READONLY|^MASTERDOWN|^CLUSTERDOWN|^OOM|^MISCONF/.test(
      message,
    )
  );
}
