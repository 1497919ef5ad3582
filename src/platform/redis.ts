import { Cluster, Redis as SingleRedis } from 'ioredis';

import { AppError } from './errors.ts';

/** One server, or a cluster: everything that is written is written key by key, so both are written alike. */
export type Redis = SingleRedis | Cluster;

/** Whether keys lie on different servers, so that no script may look at more than the one that it was sent for. */
export function isRedisCluster(redis: Redis): redis is Cluster {
  return redis instanceof Cluster;
}

/**
 * A connection that fails fast: a command sent while Redis is away is refused at once instead of queued, so that
 * requests are answered with 503 rather than piling up.
 */
export function createRedis({
  url,
  isCluster = false,
  patienceMs = 5_000,
  onError = () => {},
}: {
  url: string;
  /** The address is that of one node of a Redis Cluster; the others are learnt from it. */
  isCluster?: boolean;
  /** After this time without a word from the server the connection is given up and made anew. */
  patienceMs?: number;
  onError?: (error: Error) => void;
}): Redis {
  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    // Gathered by those who call them (oidc/store/redis-runner.ts): once is enough.
    autoPipeliningIgnoredCommands: ['evalsha', 'eval'],
    maxRetriesPerRequest: 0,
    connectTimeout: patienceMs,
    // Answers come in the order of the commands: one timer for the connection sees what one for each command would.
    socketTimeout: patienceMs,
  };
  const redis = isCluster
    ? new Cluster([url], {
        lazyConnect: true,
        enableOfflineQueue: false,
        enableAutoPipelining: true,
        clusterRetryStrategy: pauseMs,
        redisOptions: {
          connectTimeout: patienceMs,
          commandTimeout: patienceMs,
          socketTimeout: patienceMs,
          maxRetriesPerRequest: 0,
          ...credentialsIn(url),
        },
      })
    : new SingleRedis(url, { ...options, retryStrategy: pauseMs });
  redis.on('error', onError);
  return redis;
}

function pauseMs(attempt: number): number {
  return Math.min(50 * attempt, 1_000);
}

/** The other nodes of a cluster are reached with the same credentials and over TLS likewise. */
function credentialsIn(url: string): { username?: string; password?: string; tls?: object } {
  const { username, password, protocol } = new URL(url);
  return {
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

/**
 * Refuses a Redis that would lose tokens by itself, and a node of a cluster that is taken for all of it.
 *
 * @throws AppError `redis_too_old` below version 7, `redis_evicts` unless `maxmemory-policy` is `noeviction`,
 *   `redis_is_cluster` where scripts may look at one key only and nobody said so
 */
export async function assertRedisUsable(redis: Redis): Promise<void> {
  const nodes = isRedisCluster(redis) ? redis.nodes('master') : [redis];
  for (const node of nodes) {
    const info = await node.info();
    assertInfoUsable(info);
    if (!isRedisCluster(redis) && /^redis_mode:cluster/m.test(info)) {
      throw new AppError(
        'redis_is_cluster',
        500,
        'That Redis is a node of a Redis Cluster. Set GATEHOUSE_REDIS_CLUSTER to true.',
      );
    }
  }
}

function assertInfoUsable(info: string): void {
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
    /Stream isn't writeable|Connection is closed|Command aborted due to connection close|Command timed out|^LOADING|^READONLY|^MASTERDOWN|^CLUSTERDOWN|^OOM|^MISCONF/.test(
      message,
    )
  );
}
