import { appendInTransaction } from '../audit/append.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { uuidv7 } from '../platform/ids.ts';
import type { Sealer } from '../platform/seal.ts';
import type { ApprovalRequest, Authority, NewApprovalRequest } from './approval.ts';
import {
  countRequests,
  decideRequest,
  findByDigest,
  findWaiting,
  insertPing,
  insertRequest,
  lockQueue,
  removeOldRequests,
} from './store.ts';

const HOUR_MS = 3_600_000;

/** How long a request is remembered after its end: a client that asks late is told that it has expired. */
const REMEMBERED_MS = HOUR_MS;

export type Putting =
  | { kind: 'put'; request: ApprovalRequest }
  /** Too many of this client wait for this person, or came within the hour. */
  | { kind: 'too-many'; of: 'waiting' | 'hourly' };

export interface ApprovalService {
  /**
   * Puts a request to a person, and records it, in one transaction.
   *
   * @param fingerprint of the auth_req_id, for the record
   */
  put: (request: NewApprovalRequest, fingerprint: string) => Promise<Putting>;
  waitingFor: (accountId: string) => Promise<ApprovalRequest[]>;
  findByDigest: (requestDigest: string) => Promise<ApprovalRequest | undefined>;
  /** Decides and records it, once. @returns undefined where it is decided, over, or somebody else's */
  approve: (answer: {
    id: string;
    accountId: string;
    authority: Authority;
  }) => Promise<ApprovalRequest | undefined>;
  deny: (answer: {
    id: string;
    accountId: string;
    sessionUid: string;
  }) => Promise<ApprovalRequest | undefined>;
  removeOld: (limit: number) => Promise<number>;
}

export interface ApprovalServiceOptions {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  waitingPerClient: number;
  hourlyPerClient: number;
  /** A client is to be told of a decision that is durable now. */
  onDecided?: () => void;
}

export function createApprovalService(options: ApprovalServiceOptions): ApprovalService {
  const { db, clock, sealer, onDecided = () => {} } = options;

  const decide = async (answer: {
    id: string;
    accountId: string;
    sessionUid: string;
    authority?: Authority;
  }): Promise<ApprovalRequest | undefined> => {
    const { id, accountId, sessionUid, authority } = answer;
    const now = clock.now();
    const decided = await db.transaction(async (tx) => {
      const done = await decideRequest(tx, { id, accountId, now, authority });
      if (!done) return undefined;
      const { request, pingSealed } = done;
      await appendInTransaction(
        tx,
        {
          type: authority ? 'approval.approved' : 'approval.denied',
          outcome: 'success',
          actor: { kind: 'account', id: accountId },
          accountId,
          clientId: request.clientId,
          sessionUid,
          ...(authority ? { grantId: authority.grantId } : {}),
          payload: { request: id, ...(authority ? { scope: request.asked.scopes.join(' ') } : {}) },
        },
        { clock },
      );
      if (pingSealed !== undefined) {
        const { clientId, expiresAt: givesUpAt } = request;
        await insertPing(tx, { id, clientId, accountId, sealed: pingSealed, now, givesUpAt });
      }
      return request;
    });
    if (decided) onDecided();
    return decided;
  };

  return {
    put: (input, fingerprint) =>
      db.transaction(async (tx) => {
        const { accountId, clientId, bindingMessage, asked, expiresAt, ping } = input;
        const now = clock.now();
        await lockQueue(tx, accountId, clientId);
        const { waiting, recent } = await countRequests(tx, {
          accountId,
          clientId,
          now,
          since: new Date(now.getTime() - HOUR_MS),
        });
        if (waiting >= options.waitingPerClient) return { kind: 'too-many', of: 'waiting' };
        if (recent >= options.hourlyPerClient) return { kind: 'too-many', of: 'hourly' };
        const id = uuidv7(now);
        await insertRequest(tx, {
          ...input,
          id,
          createdAt: now,
          pingSealed: ping && sealer.seal(JSON.stringify(ping), pingContext(id)),
        });
        await appendInTransaction(
          tx,
          {
            type: 'approval.requested',
            outcome: 'success',
            actor: { kind: 'client', id: clientId },
            accountId,
            clientId,
            payload: {
              request: id,
              scope: asked.scopes.join(' '),
              issued: [
                {
                  kind: 'backchannel_authentication_request',
                  fingerprint,
                  expires_at: expiresAt.toISOString(),
                },
              ],
            },
          },
          { clock },
        );
        const request = { id, accountId, clientId, asked, createdAt: now, expiresAt };
        return {
          kind: 'put',
          request: bindingMessage === undefined ? request : { ...request, bindingMessage },
        };
      }),

    waitingFor: (accountId) => findWaiting(db, accountId, clock.now()),
    findByDigest: (requestDigest) => findByDigest(db, requestDigest),
    approve: ({ authority, ...answer }) => decide({ ...answer, sessionUid: authority.sessionUid, authority }),
    deny: decide,
    removeOld: (limit) =>
      removeOldRequests(db, { before: new Date(clock.now().getTime() - REMEMBERED_MS), limit }),
  };
}

/** What binds a sealed ping to its request. */
export function pingContext(id: string): string {
  return `approval ping:${id}`;
}
