import type { Clock } from '../platform/clock.ts';
import { coalesce } from '../platform/coalesce.ts';
import type { Database } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import { expandSignOuts } from './expand.ts';
import { createLogoutToken, type SignJwt } from './logout-token.ts';
import type { FindClient } from './notice.ts';
import { type Attempted, judgeAttempt } from './outcome.ts';
import { leaseDue, type LeasedNotice, putOff, settle } from './queue.ts';

const AT_ONCE = 8;
const POLL_MS = 1_000;
/** Beyond the time that an exchange may take: what it needs to be settled. */
const LEASE_SLACK_SECONDS = 10;

export interface LogoutNotices {
  start: () => void;
  /** Looks now rather than at the next turn; never throws. */
  kick: () => void;
  /** One turn: makes notices of what is recorded, delivers what is due. @throws where the database is away */
  turn: () => Promise<void>;
  /** Waits for what is under way. */
  stop: () => Promise<void>;
}

export interface LogoutNoticesOptions {
  db: Database;
  clock: Clock;
  issuer: string;
  outgoing: Outgoing;
  outgoingTimeoutMs: number;
  findClient: FindClient;
  sign: SignJwt;
  sessionSeconds: number;
  giveUpAfterSeconds: number;
  onError: (error: unknown) => void;
}

/** Delivers notices in the background, in every process: whoever leases one delivers it. */
export function createLogoutNotices(options: LogoutNoticesOptions): LogoutNotices {
  const { db, clock, findClient, outgoing, onError } = options;
  const leaseSeconds = Math.ceil(options.outgoingTimeoutMs / 1000) + LEASE_SLACK_SECONDS;
  let timer: NodeJS.Timeout | undefined;
  let isStopped = true;
  let underWay: Promise<void> = Promise.resolve();

  const attempt = async (notice: LeasedNotice): Promise<Attempted> => {
    const client = await findClient(notice.clientId);
    const address = client?.backchannelLogoutUri;
    if (!client || address === undefined) return { kind: 'nobody' };
    try {
      const token = await createLogoutToken({
        issuer: options.issuer,
        notice,
        alg: client.idTokenAlg,
        now: clock.now(),
        sign: options.sign,
      });
      const { status } = await outgoing.request(address, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ logout_token: token }).toString(),
      });
      return { kind: 'answered', status };
    } catch (error) {
      if (!(error instanceof AppError)) onError(error);
      return { kind: 'failed', reason: error instanceof AppError ? error.code : 'fault' };
    }
  };

  const deliver = async (notice: LeasedNotice): Promise<void> => {
    const attempted = await attempt(notice);
    const outcome = judgeAttempt(attempted, {
      attempts: notice.attempts + 1,
      now: clock.now(),
      givesUpAt: notice.givesUpAt,
      spread: Math.random(),
    });
    await settle({ db, clock }, notice, outcome);
    if (attempted.kind === 'failed' && outcome.kind === 'later') {
      await putOff(db, notice.clientId, outcome.nextAttemptAt);
    }
  };

  const turn = coalesce(async () => {
    while ((await expandSignOuts(options)).isMore);
    for (;;) {
      const due = await leaseDue(db, { now: clock.now(), limit: AT_ONCE, leaseSeconds });
      const settled = await Promise.allSettled(due.map(deliver));
      for (const one of settled) if (one.status === 'rejected') onError(one.reason);
      if (due.length < AT_ONCE || isStopped) return;
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
