import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { type Courier, createCourier } from '../platform/delivery/courier.ts';
import type { Attempted } from '../platform/delivery/outcome.ts';
import { AppError } from '../platform/errors.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import { expandSignOuts } from './expand.ts';
import { createLogoutToken, type SignJwt } from './logout-token.ts';
import type { FindClient, Notice, TellSubject } from './notice.ts';
import { type NoticeRow, settle, toNotice } from './queue.ts';

export interface LogoutNoticesOptions {
  db: Database;
  clock: Clock;
  issuer: string;
  outgoing: Outgoing;
  /** For clients that nobody vouches for. */
  outgoingToStrangers: Outgoing;
  outgoingTimeoutMs: number;
  findClient: FindClient;
  tellSubject: TellSubject;
  sign: SignJwt;
  /** As the client's ID tokens are. @throws AppError where its key cannot be had now */
  encrypt: (clientId: string, jwt: string) => Promise<string>;
  sessionSeconds: number;
  giveUpAfterSeconds: number;
  onError: (error: unknown) => void;
}

/** A turn makes notices of what is recorded, and delivers what is due. */
export function createLogoutNotices(options: LogoutNoticesOptions): Courier {
  const { db, clock, findClient, outgoing, outgoingTimeoutMs, onError } = options;

  const attempt = async (notice: Notice): Promise<Attempted> => {
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
      const isEncrypted = client.idTokenEncryptedResponseAlg !== undefined;
      const sent = isEncrypted ? await options.encrypt(notice.clientId, token) : token;
      const { request } = client.origin === undefined ? outgoing : options.outgoingToStrangers;
      const { status } = await request(address, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ logout_token: sent }).toString(),
      });
      return { kind: 'answered', status };
    } catch (error) {
      if (!(error instanceof AppError)) onError(error);
      return { kind: 'failed', reason: error instanceof AppError ? error.code : 'fault' };
    }
  };

  return createCourier<NoticeRow>({
    db,
    clock,
    table: 'logout_notices',
    outgoingTimeoutMs,
    onError,
    before: async () => {
      while ((await expandSignOuts(options)).isMore);
    },
    attempt: (row) => attempt(toNotice(row)),
    settle: (row, leaseId, outcome) => settle({ db, clock }, toNotice(row), { leaseId, outcome }),
  });
}
