import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import type { Actor } from '../../../src/audit/events.ts';
import { createClientService, type ClientService } from '../../../src/clients/service.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createDatabase, type Database } from '../../../src/platform/database.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createClient } from '../../support/factories/client.ts';

const BY: Actor = { kind: 'system', name: 'test' };
let database: TestDatabase;
let otherDb: Database;
const started: ClientService[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  otherDb = createDatabase({
    connection: { connectionString: database.connectionString },
    maxConnections: 3,
  });
});
afterEach(async () => {
  for (const service of started.splice(0)) await service.stop();
});
afterAll(async () => {
  await otherDb.close();
  await database.drop();
});

/** A service as another process would have it, on connections of its own, with its queries counted. */
async function startReader(
  overrides: Partial<Database> = {},
  options: Partial<Parameters<typeof createClientService>[0]> = {},
): Promise<{ reader: ClientService; queries: () => number }> {
  let queries = 0;
  const db: Database = {
    ...otherDb,
    query: (text, values) => {
      if (text.includes('from clients')) queries += 1;
      return otherDb.query(text, values);
    },
    ...overrides,
  };
  const reader = createClientService({ db, clock: systemClock, ...options });
  await reader.start();
  started.push(reader);
  return { reader, queries: () => queries };
}

/** Milliseconds until the condition holds. */
async function millisecondsUntil(holds: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > 5_000) throw new Error('it never came to hold');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return performance.now() - startedAt;
}

// As a connection pooler in transaction mode: listening seems to work, and nothing ever comes.
const swallowed: Partial<Database> = { listen: async () => ({ stop: async () => {} }) };
const refused: Partial<Database> = { listen: () => Promise.reject(new Error('not supported')) };

// Polls come each second, and a busy machine is late with some; a notification comes long before any poll.
describe.each<[string, Partial<Database>, number]>([
  ['by notification', {}, 1_000],
  ['by polling where notifications are swallowed', swallowed, 3_000],
  ['by polling where listening is refused', refused, 3_000],
])('a change made by another process is seen %s', (_, overrides, withinMs) => {
  it('when a client changes, appears and disappears', async () => {
    const writer = createClientService({ db: database.db, clock: systemClock });
    const { client } = await createClient(writer);
    const { reader, queries } = await startReader(overrides);
    const told: string[] = [];
    reader.onChange(() => told.push('changed'));

    const first = await reader.find(client.clientId);
    expect(first).toEqual(client);
    expect(await reader.find(client.clientId)).toBe(first);
    expect(await reader.find('later')).toBeUndefined();
    expect(await reader.find('later')).toBeUndefined();
    expect(queries()).toBe(2);

    await writer.update(client.clientId, { requireRole: 'staff' }, BY);
    const seen = await millisecondsUntil(
      async () => (await reader.find(client.clientId))?.requireRole === 'staff',
    );
    expect(seen).toBeLessThan(withinMs);
    expect(told.length).toBeGreaterThan(0);

    await createClient(writer, { clientId: 'later' });
    expect(await millisecondsUntil(async () => (await reader.find('later')) !== undefined)).toBeLessThan(
      withinMs,
    );
    await writer.delete('later', BY);
    expect(await millisecondsUntil(async () => (await reader.find('later')) === undefined)).toBeLessThan(
      withinMs,
    );
  });
});

describe('clients in memory', () => {
  it('are seen at once by the process that changed them', async () => {
    const { reader: service } = await startReader();
    const { client } = await createClient(service);
    await service.find(client.clientId);
    await service.update(client.clientId, { requireMfa: true }, BY);
    expect((await service.find(client.clientId))?.requireMfa).toBe(true);
  });

  it('never show what was loaded before a change and arrived after it', async () => {
    const writer = createClientService({ db: database.db, clock: systemClock });
    const { client } = await createClient(writer);
    const gate = Promise.withResolvers<void>();
    let isFirst = true;
    const { reader } = await startReader({
      query: async (text, values) => {
        const result = await otherDb.query(text, values);
        if (text.includes('from clients') && isFirst) {
          isFirst = false;
          await gate.promise;
        }
        return result as never;
      },
    });
    const seenChange = new Promise<void>((resolve) => {
      reader.onChange(resolve);
    });
    const late = reader.find(client.clientId);
    await writer.update(client.clientId, { requireMfa: true }, BY);
    await seenChange;
    gate.resolve();
    expect((await late)?.requireMfa).toBe(false);
    expect((await reader.find(client.clientId))?.requireMfa).toBe(true);
  });

  it('cannot be altered by whoever got them', async () => {
    const { reader } = await startReader();
    const { client } = await createClient(reader);
    const found = (await reader.find(client.clientId))!;
    expect(() => {
      (found as { requirePkce: boolean }).requirePkce = false;
    }).toThrow(TypeError);
    expect(() => (found.redirectUris as string[]).push('https://evil.example/')).toThrow(TypeError);
  });

  it('are still served while the database is away, for a bounded time', async () => {
    let isAway = false;
    const { reader } = await startReader(
      {
        query: async (text, values) => {
          if (isAway) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
          return otherDb.query(text, values);
        },
      },
      // Long enough for a busy machine to be late with a poll or two.
      { staleAfterSeconds: 4, pollIntervalMs: 100 },
    );
    const { client } = await createClient(reader);
    await reader.find(client.clientId);
    isAway = true;
    expect((await reader.find(client.clientId))?.clientId).toBe(client.clientId);
    await expect(reader.find('unknown')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await new Promise((resolve) => setTimeout(resolve, 4_200));
    await expect(reader.find(client.clientId)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    isAway = false;
    await millisecondsUntil(
      async () => (await reader.find(client.clientId).catch(() => undefined)) !== undefined,
    );
  });

  it.each(['', ' ', 'a\u0000b', "x' or 1=1", 'x'.repeat(10_000)])(
    'are not looked for in the database under what is no id: %j',
    async (id) => {
      const { reader, queries } = await startReader();
      expect(await reader.find(id)).toBeUndefined();
      expect(queries()).toBe(0);
    },
  );
});
