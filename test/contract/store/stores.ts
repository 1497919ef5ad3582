import { createPostgresStore } from '../../../src/oidc/store/postgres-store.ts';
import type { OidcStore } from '../../../src/oidc/store/port.ts';
import { createRedisStore } from '../../../src/oidc/store/redis-store.ts';
import { createDatabase } from '../../../src/platform/database.ts';
import { createRedis } from '../../../src/platform/redis.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createTestRedis, testRedisUrl } from '../../support/redis.ts';

export interface OpenStore {
  store: OidcStore;
  /** The same data over a connection of its own, as another process has it. */
  other: OidcStore;
  clock: ReturnType<typeof createTestClock>;
  /** Everything that is stored, keys and values, as one text. */
  dump: () => Promise<string>;
  close: () => Promise<void>;
}

const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);

async function openRedisStore(): Promise<OpenStore> {
  const { redis, keyPrefix, close } = await createTestRedis();
  const second = createRedis({ url: testRedisUrl() });
  await second.connect();
  const clock = createTestClock();
  return {
    store: createRedisStore({ redis, keyPrefix, clock, sealer }),
    other: createRedisStore({ redis: second, keyPrefix, clock, sealer }),
    clock,
    dump: async () => {
      const keys = await redis.keys(`${keyPrefix}*`);
      const values = await Promise.all(
        keys.map(async (key) => {
          const type = await redis.type(key);
          if (type === 'hash') return redis.hgetall(key);
          if (type === 'zset') return redis.zrange(key, '0', '-1');
          return redis.get(key);
        }),
      );
      return JSON.stringify([keys, values]);
    },
    close: async () => {
      await second.quit();
      await close();
    },
  };
}

async function openPostgresStore(): Promise<OpenStore> {
  const { db, connectionString, drop } = await createTestDatabase();
  const second = createDatabase({ connection: { connectionString } });
  const clock = createTestClock();
  return {
    store: createPostgresStore({ db, clock, sealer }),
    other: createPostgresStore({ db: second, clock, sealer }),
    clock,
    dump: async () => {
      const tables = ['payloads', 'sessions', 'session_authorizations', 'marks', 'answers', 'polls'];
      const rows = await Promise.all(tables.map((table) => db.query(`select * from oidc_${table}`)));
      return JSON.stringify(rows.map((result) => result.rows));
    },
    close: async () => {
      await second.close();
      await drop();
    },
  };
}

/** Every implementation of the port: `describe.each(stores)('…', ({ open }) => …)`. */
export const stores = [
  { name: 'redis', open: openRedisStore },
  { name: 'postgres', open: openPostgresStore },
];
