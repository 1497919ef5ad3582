import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { appendInTransaction } from '../../../src/audit/append.ts';
import { chainHash } from '../../../src/audit/chain.ts';
import {
  createFileSink,
  emitCheckpoint,
  parseCheckpoints,
  type Checkpoint,
} from '../../../src/audit/checkpoints.ts';
import { erasePersonal } from '../../../src/audit/erasure.ts';
import type { AuditLog } from '../../../src/audit/log.ts';
import { FIELDS, toChainedFields, type ChainedColumns } from '../../../src/audit/row.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { buildBatch, openAuditLog } from '../../support/audit.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;
let log: AuditLog;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

beforeEach(async () => {
  await tamper(
    'truncate audit_events',
    'delete from audit_head',
    `insert into audit_head (seq, hash) values (0, '')`,
  );
  log = openAuditLog(test.db);
});
afterEach(() => log.close());

async function writeRows(count: number): Promise<void> {
  for (let round = 0; round < count; round++) await log.write(buildBatch({ ip: '192.0.2.1' }));
}

/** What somebody could do who has the database in hand. */
async function tamper(...statements: string[]): Promise<void> {
  await test.db.query('alter table audit_events disable trigger user');
  for (const statement of statements) await test.db.query(statement);
  await test.db.query('alter table audit_events enable trigger user');
}

describe('one chain for all processes', () => {
  it('links what two writers and many transactions write at once, without a gap', async () => {
    const other = openAuditLog(test.db);
    const subject = (): Promise<void> =>
      test.db.transaction((tx) =>
        appendInTransaction(tx, { type: 'role.created', outcome: 'success', payload: { role: 'r' } }),
      );
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        for (let round = 0; round < 5; round++) {
          await log.write(buildBatch());
          await other.write(buildBatch());
          await subject();
        }
      }),
    );
    await log.link();
    await other.link();
    const { rows } = await test.db.query<{ count: string; last: string; distinct: string }>(
      'select count(*), max(seq) as last, count(distinct seq) as distinct from audit_events',
    );
    expect(rows[0]).toEqual({ count: '600', last: '600', distinct: '600' });
    expect(await log.verify()).toMatchObject({ isWhole: true, rows: 600, unlinked: 0, head: { seq: 600 } });
    await other.close();
  });

  it('verifies while others write', async () => {
    await writeRows(20);
    const end = new AbortController();
    const writing = (async () => {
      while (!end.signal.aborted) await log.write(buildBatch());
    })();
    const progress: number[] = [];
    for (let round = 0; round < 5; round++)
      expect(await log.verify({ onProgress: ({ seq }) => progress.push(seq) })).toMatchObject({
        isWhole: true,
      });
    end.abort();
    await writing;
    expect(progress.at(-1)).toBeGreaterThanOrEqual(20);
  });
});

describe('verifying', () => {
  it.each([
    ['a payload altered', 'altered', 3, [`update audit_events set payload = '{}' where seq = 3`]],
    ['a type altered', 'altered', 3, [`update audit_events set type = 'server.started' where seq = 3`]],
    ['an outcome altered', 'altered', 3, [`update audit_events set outcome = 'failure' where seq = 3`]],
    ['a client altered', 'altered', 3, [`update audit_events set client_id = 'other' where seq = 3`]],
    [
      'a time moved by a microsecond',
      'altered',
      3,
      [`update audit_events set at = at + interval '1 microsecond' where seq = 3`],
    ],
    ['an id altered', 'altered', 3, [`update audit_events set id = gen_random_uuid() where seq = 3`]],
    [
      'an address altered',
      'personal_altered',
      3,
      [`update audit_events set personal = '{"ip":"::1"}' where seq = 3`],
    ],
    ['a row deleted', 'missing', 3, ['delete from audit_events where seq = 3']],
    ['the first row deleted', 'missing', 1, ['delete from audit_events where seq = 1']],
    ['the last row deleted', 'missing', 5, ['delete from audit_events where seq = 5']],
    [
      'a row deleted and the gap closed',
      'reordered',
      3,
      ['delete from audit_events where seq = 3', 'update audit_events set seq = seq - 1 where seq > 3'],
    ],
    ['two rows exchanged', 'reordered', 2, ['update audit_events set seq = 6 - seq where seq in (2, 4)']],
    [
      'a row copied',
      'reordered',
      3,
      [
        `insert into audit_events select (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()))).*
           from audit_events e where seq = 3`,
      ],
    ],
    [
      'the head set back',
      'head',
      3,
      [`update audit_head set seq = 3, hash = (select hash from audit_events where seq = 3)`],
    ],
    ['the head altered', 'head', 5, [`update audit_head set hash = 'x'`]],
  ])('names %s', async (_, kind, seq, statements) => {
    await writeRows(5);
    await tamper(...statements);
    const result = await log.verify();
    expect(result.isWhole).toBe(false);
    expect(result.problem).toMatchObject({ kind, seq });
    expect(result.rows).toBeLessThanOrEqual(5);
  });

  it('reports rows that nobody has linked', async () => {
    await test.db.transaction((tx) =>
      appendInTransaction(tx, { type: 'role.created', outcome: 'success', payload: { role: 'r' } }),
    );
    expect(await log.verify()).toMatchObject({ isWhole: true, unlinked: 1 });
  });

  it('finds an empty log whole', async () => {
    expect(await log.verify()).toMatchObject({ isWhole: true, rows: 0, head: { seq: 0, hash: '' } });
  });
});

describe('the table itself', () => {
  it.each([
    `update audit_events set payload = '{}'`,
    'update audit_events set seq = seq + 1',
    `update audit_events set hash = 'x'`,
    `update audit_events set personal = '{"ip":"::1"}'`,
    'delete from audit_events',
    'truncate audit_events',
  ])('refuses: %s', async (statement) => {
    await writeRows(2);
    await expect(test.db.query(statement)).rejects.toThrow('append-only');
    expect(await log.verify()).toMatchObject({ isWhole: true, rows: 2 });
  });
});

describe('erasing personal details', () => {
  it('keeps the chain whole and leaves nothing to test a guess against', async () => {
    const [ann, bob] = [uuidv7(), uuidv7()];
    for (const accountId of [ann, bob]) {
      await log.write(
        buildBatch({
          events: [
            {
              type: 'account.created',
              outcome: 'success',
              accountId,
              payload: { email: `${accountId}@example.com` },
            },
          ],
          ip: '192.0.2.9',
        }),
      );
    }
    await test.db.transaction((tx) =>
      appendInTransaction(tx, {
        type: 'account.updated',
        outcome: 'success',
        accountId: ann,
        payload: { changed: ['email'], email: 'new@example.com' },
      }),
    );
    expect(await erasePersonal(test.db, ann)).toBe(2);
    await log.link();

    const { events } = await log.list({ accountId: ann });
    expect(events.map(({ ip, payload }) => ({ ip, payload }))).toEqual([
      { ip: null, payload: {} },
      { ip: null, payload: { changed: ['email'] } },
    ]);
    expect((await log.list({ accountId: bob })).events[0]).toMatchObject({
      ip: '192.0.2.9',
      payload: { email: `${bob}@example.com` },
    });
    const { rows } = await test.db.query(
      'select 1 from audit_events where account_id = $1 and (personal_salt is not null or personal is not null)',
      [ann],
    );
    expect(rows).toEqual([]);
    expect(await log.verify()).toMatchObject({ isWhole: true, rows: 3, erased: 2 });
  });
});

describe('checkpoints', () => {
  const key = Buffer.alloc(32, 1);
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'gatehouse-audit-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const checkpointTwice = async (): Promise<Checkpoint[]> => {
    const file = path.join(directory, 'checkpoints.jsonl');
    const sink = createFileSink(file);
    expect(await emitCheckpoint({ db: test.db, clock: systemClock, key, sink })).toBeUndefined();
    await writeRows(3);
    await emitCheckpoint({ db: test.db, clock: systemClock, key, sink });
    await writeRows(2);
    await emitCheckpoint({ db: test.db, clock: systemClock, key, sink });
    return parseCheckpoints(await readFile(file, 'utf8'));
  };

  it('agree with a chain that nobody touched', async () => {
    const checkpoints = await checkpointTwice();
    expect(checkpoints.map(({ seq }) => seq)).toEqual([3, 5]);
    expect(await log.verify({ checkpoints, checkpointKeys: [Buffer.alloc(32, 9), key] })).toMatchObject({
      isWhole: true,
      checkpoints: 2,
    });
  });

  it('show that the tail was cut off together with the head', async () => {
    const checkpoints = await checkpointTwice();
    await tamper(
      'delete from audit_events where seq > 3',
      'update audit_head set seq = 3, hash = (select hash from audit_events where seq = 3)',
    );
    expect((await log.verify()).isWhole).toBe(true);
    expect((await log.verify({ checkpoints })).problem).toMatchObject({ kind: 'checkpoint', seq: 4 });
  });

  it('show that the whole chain was computed anew', async () => {
    const checkpoints = await checkpointTwice();
    await tamper(`update audit_events set client_id = 'forged' where seq = 2`);
    await computeAnew();
    expect((await log.verify()).isWhole).toBe(true);
    expect((await log.verify({ checkpoints })).problem).toMatchObject({ kind: 'checkpoint', seq: 3 });
  });

  it('are refused when somebody else made them', async () => {
    const [first] = await checkpointTwice();
    const forged = { ...first!, hash: 'x' };
    expect(
      (await log.verify({ checkpoints: [forged], checkpointKeys: [Buffer.alloc(32, 9), key] })).problem,
    ).toMatchObject({
      kind: 'checkpoint',
      seq: 3,
      message: expect.stringContaining('not signed'),
    });
  });

  it('are refused when a line is none', () => {
    expect(() => parseCheckpoints('\n{"seq":1}\n')).toThrow('Line 2');
  });

  async function computeAnew(): Promise<void> {
    const { rows } = await test.db.query<ChainedColumns & { seq: string }>(
      `select ${FIELDS}, seq from audit_events order by seq`,
    );
    let hash = '';
    const statements = rows.map((row) => {
      const previous = hash;
      hash = chainHash(previous, toChainedFields(row));
      return `update audit_events set prev_hash = '${previous}', hash = '${hash}' where seq = ${row.seq}`;
    });
    await tamper(...statements, `update audit_head set hash = '${hash}'`);
  }
});
