import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { isAuditUnavailable } from '../../../src/audit/errors.ts';
import type { AuditEvent } from '../../../src/audit/events.ts';
import type { AuditLog } from '../../../src/audit/log.ts';
import { currentUnitOfWork, runInUnitOfWork } from '../../../src/audit/unit-of-work.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { runInRequest } from '../../../src/platform/request-context.ts';
import { buildSpend, openAuditLog } from '../../support/audit.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;
let log: AuditLog;
const reported: string[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
  log = openAuditLog(test.db, { logger: { error: (_, message) => reported.push(message) } });
});

afterAll(async () => {
  await log.close();
  await test.drop();
});

const refused = (reason: string): AuditEvent => ({
  type: 'token.refused',
  outcome: 'failure',
  payload: { error: 'invalid_grant', reason },
});

const reasonsOf = async (requestId: string): Promise<unknown[]> =>
  (await log.list({ requestId })).events.map(({ payload }) => payload['reason']);

describe('the unit of work of a request', () => {
  it('reaches whatever the request calls, and nothing outside it', async () => {
    expect(currentUnitOfWork()).toBeUndefined();
    await runInUnitOfWork(log, async (unit) => {
      await Promise.resolve();
      expect(currentUnitOfWork()).toBe(unit);
    });
    expect(currentUnitOfWork()).toBeUndefined();
  });

  it('is written with the request it belongs to, then its steps run in order', async () => {
    const steps: string[] = [];
    const requestId = uuidv7();
    await runInRequest({ requestId, ip: '192.0.2.1', userAgent: 'curl' }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        unit.onCommit(async () => {
          steps.push(`durable: ${(await reasonsOf(requestId)).join()}`);
        });
        unit.onCommit(async () => {
          steps.push('second');
        });
        unit.onRollback(async () => {
          steps.push('rollback');
        });
        expect(unit.isEmpty()).toBe(false);
        await unit.commit();
        await unit.commit();
        expect(unit.isEmpty()).toBe(true);
      }),
    );
    expect(steps).toEqual(['durable: one', 'second']);
    expect((await log.list({ requestId })).events[0]).toMatchObject({ ip: '192.0.2.1', user_agent: 'curl' });
  });

  it('opens anew after a commit', async () => {
    const requestId = uuidv7();
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        await unit.commit();
        unit.record(refused('two'));
        await unit.commit();
      }),
    );
    expect(await reasonsOf(requestId)).toEqual(['one', 'two']);
  });

  it('waits for a commit that is under way', async () => {
    const requestId = uuidv7();
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        void unit.commit();
        await unit.commit();
        expect(await reasonsOf(requestId)).toEqual(['one']);
      }),
    );
  });

  it('with nothing to write asks the database nothing, and still takes its steps', async () => {
    const closed = openAuditLog(test.db);
    await closed.close();
    let isDone = false;
    await runInUnitOfWork(closed, async (unit) => {
      unit.onCommit(async () => {
        isDone = true;
      });
      await unit.commit();
    });
    expect(isDone).toBe(true);
  });

  it('undoes, latest first, when a credential was spent before; a refusal can be recorded then', async () => {
    const spend = buildSpend(uuidv7());
    const requestId = uuidv7();
    const steps: string[] = [];
    await runInUnitOfWork(log, async (unit) => {
      unit.spend(spend);
      unit.record(refused('first'));
      await unit.commit();
    });
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('never written'));
        unit.spend({
          ...spend,
          onConflict: () => {
            steps.push('conflict');
          },
        });
        unit.onCommit(async () => {
          steps.push('commit');
        });
        unit.onRollback(async () => {
          steps.push('rollback 1');
        });
        unit.onRollback(async () => {
          steps.push('rollback 2');
          throw new Error('Redis is away');
        });
        await expect(unit.commit()).rejects.toMatchObject({ code: 'credential_spent' });
        expect(unit.isEmpty()).toBe(true);
        unit.record(refused('replayed'));
        await unit.commit();
      }),
    );
    expect(steps).toEqual(['conflict', 'rollback 2', 'rollback 1']);
    expect(reported).toContain('Undoing what could not be recorded failed and is tried again');
    expect(await reasonsOf(requestId)).toEqual(['replayed']);
  });

  it('writes what was staged at once, and before the record', async () => {
    const steps: string[] = [];
    const requestId = uuidv7();
    const state = (name: string): { write: () => Promise<void>; undo: () => Promise<void> } => ({
      write: async () => {
        steps.push(`${name} begins`);
        const reasons = await reasonsOf(requestId);
        steps.push(`${name}: ${reasons.length} on record`);
      },
      undo: async () => {
        steps.push(`${name} undone`);
      },
    });
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        unit.stage(state('token'));
        unit.stage(state('answer'));
        expect(steps).toEqual([]);
        await unit.commit();
      }),
    );
    expect(steps.slice(0, 2)).toEqual(['token begins', 'answer begins']);
    expect(steps.slice(2).toSorted()).toEqual(['answer: 0 on record', 'token: 0 on record']);
    expect(await reasonsOf(requestId)).toEqual(['one']);
  });

  it('undoes all that was staged and records nothing where some of it fails', async () => {
    const undone: string[] = [];
    const requestId = uuidv7();
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        unit.onRollback(async () => void undone.push('spending'));
        unit.stage({ write: () => Promise.reject(new Error('the grant has ended')), undo: async () => {} });
        unit.stage({ write: async () => {}, undo: async () => void undone.push('token') });
        await expect(unit.commit()).rejects.toThrow('the grant has ended');
        unit.record(refused('two'));
        await unit.commit();
      }),
    );
    expect(undone).toEqual(['token', 'spending']);
    expect(await reasonsOf(requestId)).toEqual(['two']);
  });

  it('forgets what was staged for a request that is refused', async () => {
    let isWritten = false;
    await runInUnitOfWork(log, async (unit) => {
      unit.stage({ write: async () => void (isWritten = true), undo: async () => {} });
      unit.dropStaged();
      unit.record(refused('one'));
      await unit.commit();
    });
    expect(isWritten).toBe(false);
  });

  it('tries again what could not be undone, in its order, until it works', async () => {
    const closed = openAuditLog(test.db);
    await closed.close();
    const own = openAuditLog(test.db);
    let isAway = true;
    const undone: string[] = [];
    await runInUnitOfWork({ ...own, write: closed.write }, async (unit) => {
      unit.record(refused('not written'));
      for (const name of ['first', 'second']) {
        unit.onRollback(async () => {
          if (isAway) throw new Error('Redis is away');
          undone.push(name);
        });
      }
      await expect(unit.commit()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    });
    await own.undoNow();
    expect(undone).toEqual([]);
    isAway = false;
    await own.undoNow();
    expect(undone).toEqual(['second', 'first']);
    await own.undoNow();
    expect(undone).toHaveLength(2);
    await own.close();
  });

  it('undoes and says "try again" when the log cannot be written', async () => {
    const closed = openAuditLog(test.db);
    await closed.close();
    let isUndone = false;
    await runInUnitOfWork(closed, async (unit) => {
      unit.record(refused('one'));
      unit.onRollback(async () => {
        isUndone = true;
      });
      const error = await unit.commit().catch((reason: unknown) => reason);
      expect(isAuditUnavailable(error)).toBe(true);
    });
    expect(isUndone).toBe(true);
  });

  it('does not undo when a step after the commit fails: that is reported', async () => {
    await runInUnitOfWork(log, async (unit) => {
      unit.record(refused('one'));
      unit.onCommit(() => Promise.reject(new Error('Redis is away')));
      unit.onRollback(() => Promise.reject(new Error('must not run')));
      await unit.commit();
    });
    expect(reported).toContain('A step that follows a durable record failed');
  });

  it('undoes when an event is not what its schema allows', async () => {
    let isUndone = false;
    await runInUnitOfWork(log, async (unit) => {
      unit.record({ ...refused('x'), payload: { token: 'at_secret' } } as unknown as AuditEvent);
      unit.onRollback(async () => {
        isUndone = true;
      });
      await expect(unit.commit()).rejects.toThrow('token.refused');
    });
    expect(isUndone).toBe(true);
  });

  it('can be given up', async () => {
    const requestId = uuidv7();
    let isUndone = false;
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        unit.onRollback(async () => {
          isUndone = true;
        });
        await unit.rollback();
        await unit.commit();
      }),
    );
    expect(isUndone).toBe(true);
    expect(await reasonsOf(requestId)).toEqual([]);
  });

  it('when given up keeps what was so before the request did anything', async () => {
    const requestId = uuidv7();
    await runInRequest({ requestId }, () =>
      runInUnitOfWork(log, async (unit) => {
        unit.record(refused('one'));
        unit.recordLasting(refused('two'));
        await unit.rollback();
        expect(unit.isEmpty()).toBe(false);
        await unit.commit();
      }),
    );
    expect(await reasonsOf(requestId)).toEqual(['two']);
  });
});
