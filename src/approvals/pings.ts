/** Tells clients in ping mode that there is an answer (OpenID CIBA Core 1.0 §10.2), never while the person waits. */
import { z } from 'zod';

import { appendInTransaction } from '../audit/append.ts';
import type { AuditEvent } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { type Courier, createCourier } from '../platform/delivery/courier.ts';
import type { Attempted, Outcome } from '../platform/delivery/outcome.ts';
import { type QueueRow, settleLeased } from '../platform/delivery/queue.ts';
import { AppError } from '../platform/errors.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import type { Sealer } from '../platform/seal.ts';
import type { Ping, PingedClient } from './approval.ts';
import { pingContext } from './service.ts';

interface PingRow extends QueueRow {
  account_id: string | null;
  sealed: string;
}

const sealedPing = z.strictObject({ authReqId: z.string(), token: z.string() });

export interface PingsOptions {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  outgoing: Outgoing;
  outgoingTimeoutMs: number;
  findClient: (clientId: string) => Promise<PingedClient | undefined>;
  onError: (error: unknown) => void;
}

/** Delivers pings in the background. One is given up when its request would have expired. */
export function createPings(options: PingsOptions): Courier {
  const { db, clock, sealer, outgoing, outgoingTimeoutMs, findClient, onError } = options;

  const open = ({ id, sealed }: PingRow): Ping =>
    sealedPing.parse(JSON.parse(sealer.open(sealed, pingContext(id)).toString()));

  const attempt = async (row: PingRow): Promise<Attempted> => {
    try {
      const address = (await findClient(row.client_id))?.backchannelClientNotificationEndpoint;
      if (address === undefined) return { kind: 'nobody' };
      const { authReqId, token } = open(row);
      const { status } = await outgoing.request(address, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ auth_req_id: authReqId }),
      });
      return { kind: 'answered', status };
    } catch (error) {
      if (!(error instanceof AppError)) onError(error);
      return { kind: 'failed', reason: error instanceof AppError ? error.code : 'fault' };
    }
  };

  const settle = (row: PingRow, leaseId: string, outcome: Outcome): Promise<void> =>
    db.transaction(async (tx) => {
      const isOurs = await settleLeased(tx, 'approval_pings', { id: row.id, leaseId }, outcome);
      if (isOurs) await appendInTransaction(tx, eventOf(row, outcome), { clock });
    });

  return createCourier<PingRow>({
    db,
    clock,
    table: 'approval_pings',
    outgoingTimeoutMs,
    onError,
    attempt,
    settle,
  });
}

function eventOf(row: PingRow, outcome: Outcome): AuditEvent {
  const of = {
    clientId: row.client_id,
    accountId: row.account_id ?? undefined,
    actor: { kind: 'system', name: 'approvals' },
  } as const;
  const told = { request: row.id, attempt: row.attempts + 1 };
  switch (outcome.kind) {
    case 'delivered':
      return {
        type: 'approval_ping.delivered',
        outcome: 'success',
        ...of,
        payload: { ...told, status: outcome.status },
      };
    case 'refused':
      return {
        type: 'approval_ping.refused',
        outcome: 'failure',
        ...of,
        payload: { ...told, status: outcome.status },
      };
    case 'later':
      return {
        type: 'approval_ping.failed',
        outcome: 'failure',
        ...of,
        payload: { ...told, reason: outcome.reason, next_attempt_at: outcome.nextAttemptAt.toISOString() },
      };
    default:
      return {
        type: 'approval_ping.given_up',
        outcome: 'failure',
        ...of,
        payload: { ...told, reason: outcome.reason },
      };
  }
}
