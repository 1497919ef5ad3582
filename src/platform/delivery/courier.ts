import type { Clock } from '../clock.ts';
import { coalesce } from '../coalesce.ts';
import type { Database } from '../database.ts';
import { type Attempted, judgeAttempt, type Outcome } from './outcome.ts';
import { leaseDue, putOff, type QueueRow, type QueueTable } from './queue.ts';

const AT_ONCE = 8;
const POLL_MS = 1_000;
/** Beyond the time that an exchange may take: what it needs to be settled. */
const LEASE_SLACK_SECONDS = 10;

/** Delivers one queue in the background, in every process: whoever leases a row delivers it. */
export interface Courier {
  start: () => void;
  /** Looks now rather than at the next turn; never throws. */
  kick: () => void;
  /** One turn: delivers what is due. @throws where the database is away */
  turn: () => Promise<void>;
  /** Waits for what is under way. */
  stop: () => Promise<void>;
}

export interface CourierOptions<Row extends QueueRow> {
  db: Database;
  clock: Clock;
  table: QueueTable;
  outgoingTimeoutMs: number;
  /** What comes before each turn: filling the queue, where it is not filled by who makes its rows. */
  before?: () => Promise<void>;
  /** One exchange with the application. Never throws. */
  attempt: (row: Row) => Promise<Attempted>;
  /** Records the outcome and settles the row, in one transaction. */
  settle: (row: Row, leaseId: string, outcome: Outcome) => Promise<void>;
  onError: (error: unknown) => void;
}

export function createCourier<Row extends QueueRow>(options: CourierOptions<Row>): Courier {
  const { db, clock, table, onError, before = async () => {} } = options;
  const leaseSeconds = Math.ceil(options.outgoingTimeoutMs / 1000) + LEASE_SLACK_SECONDS;
  let timer: NodeJS.Timeout | undefined;
  let isStopped = true;
  let underWay: Promise<void> = Promise.resolve();

  const deliver = async (row: Row, leaseId: string): Promise<void> => {
    const attempted = await options.attempt(row);
    const outcome = judgeAttempt(attempted, {
      attempts: row.attempts + 1,
      now: clock.now(),
      givesUpAt: row.gives_up_at,
      spread: Math.random(),
    });
    await options.settle(row, leaseId, outcome);
    if (attempted.kind === 'failed' && outcome.kind === 'later') {
      await putOff(db, table, row.client_id, outcome.nextAttemptAt);
    }
  };

  const turn = coalesce(async () => {
    await before();
    for (;;) {
      const { leaseId, rows } = await leaseDue<Row>(db, table, {
        now: clock.now(),
        limit: AT_ONCE,
        leaseSeconds,
      });
      const settled = await Promise.allSettled(rows.map((row) => deliver(row, leaseId)));
      for (const one of settled) if (one.status === 'rejected') onError(one.reason);
      if (rows.length < AT_ONCE || isStopped) return;
    }
  });
  const turnOrReport = (): Promise<void> => {
    underWay = turn().catch(onError);
    return underWay;
  };
  const schedule = (): void => {
    if (isStopped) return;
    timer = setTimeout(() => void turnOrReport().finally(schedule), POLL_MS);
    timer.unref();
  };

  return {
    turn,
    start: () => {
      isStopped = false;
      schedule();
    },
    kick: () => {
      if (!isStopped) void turnOrReport();
    },
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
    },
  };
}
