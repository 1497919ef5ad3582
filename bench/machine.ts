import os from 'node:os';

import { createDatabase } from '../src/platform/database.ts';
import { createRedis } from '../src/platform/redis.ts';

export interface Machine {
  processor: string;
  cores: number;
  memoryGib: number;
  /** Processes that wanted a core, on average over the last minute, before anything began. */
  load: number;
  system: string;
  node: string;
}

export function describeMachine(): Machine {
  const cpus = os.cpus();
  return {
    processor: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
    memoryGib: Math.round(os.totalmem() / 1024 ** 3),
    load: os.loadavg()[0] ?? 0,
    system: `${os.type()} ${os.release()}`,
    node: process.version,
  };
}

/** What decides how dear a durable record is: the version, and whether commits reach the disk. */
export async function describePostgres(connectionString: string): Promise<string> {
  const db = createDatabase({ connection: { connectionString }, maxConnections: 1 });
  try {
    const { rows } = await db.query<{ version: string; fsync: string }>(
      `select current_setting('server_version') as version, current_setting('fsync') as fsync`,
    );
    return `PostgreSQL ${rows[0]?.version} (fsync ${rows[0]?.fsync})`;
  } finally {
    await db.close();
  }
}

export async function describeRedis(url: string): Promise<string> {
  const redis = createRedis({ url });
  try {
    await redis.connect();
    return `Redis ${/^redis_version:(\S+)/m.exec(await redis.info('server'))?.[1]}`;
  } finally {
    redis.disconnect();
  }
}
