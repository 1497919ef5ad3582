import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { emitCheckpoint, type Checkpoint } from '../../../src/audit/checkpoints.ts';
import { appendInTransaction } from '../../../src/audit/append.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { runInRequest } from '../../../src/platform/request-context.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { CLI_SECRET_KEY, createTestCli, startCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

let cli: TestCli;
let ada: string;
let clientId: string;
beforeAll(async () => {
  cli = await createTestCli();
  ada = (await cli.run(['users', 'create', '--email', 'ada@example.org', '--json'])).json<{ id: string }>()
    .id;
  clientId = (await cli.run(['clients', 'create', '--name', 'M', '--json'])).json<{ client_id: string }>()
    .client_id;
  // What a request leaves behind: an address, a browser, a request id.
  await runInRequest({ requestId: 'request-7', ip: '203.0.113.9', userAgent: 'Lynx' }, () =>
    appendInTransaction(cli.database.db, {
      type: 'sign_in.failed',
      outcome: 'failure',
      accountId: ada,
      clientId,
      payload: { method: 'password', reason: 'wrong_password' },
    }),
  );
});
afterAll(() => cli.stop());

const typesOf = async (...args: string[]): Promise<unknown[]> =>
  (await cli.run(['audit', 'list', ...args, '--json'])).lines().map(({ type }) => type);

describe('audit list', () => {
  it('prints one JSON object a line, the newest last', async () => {
    const { code, stderr, lines } = await cli.run(['audit', 'list', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const events = lines();
    expect(events.map(({ type }) => type)).toEqual(['account.created', 'client.created', 'sign_in.failed']);
    expect(events[2]).toMatchObject({
      type: 'sign_in.failed',
      request_id: 'request-7',
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      outcome: 'failure',
      ip: '203.0.113.9',
    });
  });

  it.each([
    [
      ['--since', '1h', '--outcome', 'failure', '--request', 'request-7', '--type', 'sign_in'],
      ['sign_in.failed'],
    ],
    [
      ['--type', 'account.created', 'client', '--until', '2999-01-01'],
      ['account.created', 'client.created'],
    ],
    [['--limit', '1'], ['sign_in.failed']],
    [['--until', '1h'], []],
  ])('narrows by %j', async (args, expected) => {
    expect(await typesOf(...args)).toEqual(expected);
  });

  it('narrows by account, given by e-mail address or id, and by client', async () => {
    expect(await typesOf('--account', 'ADA@example.org')).toEqual(['account.created', 'sign_in.failed']);
    expect(await typesOf('--account', ada, '--client', clientId)).toEqual(['sign_in.failed']);
    const stranger = await cli.run(['audit', 'list', '--account', 'nobody@example.org', '--json']);
    expect([stranger.code, stranger.error().error]).toEqual([1, 'account_not_found']);
  });

  it('prints a table for people', async () => {
    const { stdout } = await cli.run(['audit', 'list', '--since', '10m']);
    expect(stdout).toMatch(/^AT \(UTC\) +EVENT +OUTCOME +BY +ACCOUNT +CLIENT +REQUEST +DETAILS\n/);
    expect(stdout).toMatch(
      / sign_in\.failed +failure .*request-7 +from=203\.0\.113\.9 method=password reason=wrong/,
    );
  });
});

describe('audit export', () => {
  it('prints everything that fits, oldest first', async () => {
    const { lines } = await cli.run(['audit', 'export', '--type', 'account', 'client']);
    expect(lines().map(({ type }) => type)).toEqual(['account.created', 'client.created']);
  });

  it('ends in peace when nobody reads on', async () => {
    const child = startCli(['audit', 'export'], { env: cli.env });
    child.stdout.destroy();
    expect((await once(child, 'close'))[0]).toBe(0);
  });
});

describe('audit verify', () => {
  it('says that the chain is whole, what no server has chained yet included', async () => {
    const { code, json } = await cli.run(['audit', 'verify', '--json']);
    expect(code).toBe(0);
    expect(json()).toMatchObject({ ok: true, problem: null, rows: expect.any(Number), unlinked: 0 });
    expect((await cli.run(['audit', 'verify'])).stdout).toMatch(/^The chain is whole: \d+ rows\.\nHead /);
    expect(await typesOf('--type', 'audit.verified')).toHaveLength(2);
  });

  it('erases a person’s details and leaves the chain whole', async () => {
    const erased = await cli.run(['audit', 'erase', 'ada@example.org', '--json']);
    expect(erased.json()).toEqual({ id: ada, events: 2 });
    const { stdout } = await cli.run(['audit', 'export', '--account', ada]);
    expect(stdout).not.toMatch(/ada@example|203\.0\.113|Lynx/);
    expect((await cli.run(['audit', 'verify', '--json'])).json()).toMatchObject({ ok: true, erased: 2 });
  });

  it('compares with checkpoints kept elsewhere', async () => {
    const kept: Checkpoint[] = [];
    await emitCheckpoint({
      db: cli.database.db,
      clock: systemClock,
      key: createSealer([sealingKeyFrom(CLI_SECRET_KEY)]).deriveKey('audit-checkpoint'),
      sink: async (checkpoint) => void kept.push(checkpoint),
    });
    const file = path.join(cli.env['GATEHOUSE_DATA_DIR']!, 'checkpoints.jsonl');
    await writeFile(file, `${JSON.stringify(kept[0])}\n`);
    expect((await cli.run(['audit', 'verify', '--checkpoints', file, '--json'])).json()).toMatchObject({
      ok: true,
      checkpoints: 1,
    });
    await writeFile(file, `${JSON.stringify({ ...kept[0], hash: 'forged' })}\n`);
    const forged = await cli.run(['audit', 'verify', '--checkpoints', file, '--json']);
    expect(forged.code).toBe(1);
    expect(forged.json()).toMatchObject({ ok: false, problem: { kind: 'checkpoint' } });
    await writeFile(file, 'nonsense\n');
    const nonsense = await cli.run(['audit', 'verify', '--checkpoints', file, '--json']);
    expect([nonsense.code, nonsense.error().error]).toEqual([1, 'invalid_checkpoints']);
  });

  it('names the first row that was altered, and ends with 1', async () => {
    const { db } = cli.database;
    await db.transaction(async (tx) => {
      await tx.query('set local session_replication_role = replica');
      await tx.query(`update audit_events set outcome = 'success' where seq = 3`);
    });
    const { code, json } = await cli.run(['audit', 'verify', '--json']);
    expect(code).toBe(1);
    expect(json()).toMatchObject({ ok: false, rows: 2, problem: { kind: 'altered', seq: 3 } });
    const told = await cli.run(['audit', 'verify']);
    expect(told.code).toBe(1);
    expect(told.stdout).toMatch(
      /^THE CHAIN IS BROKEN at row 3: .*\. 2 rows before it are sound\.\nRow +[\da-f-]{36}$/m,
    );
  });
});
