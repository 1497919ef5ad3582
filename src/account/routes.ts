/**
 * The account door: a person's own pages, below `/account`. Whoever is not signed in is sent to sign in, by the ordinary
 * authorization request, and comes back; the session's cookie is what counts.
 *
 * A new page is a row here, a file beside approvals.ts, and a link in `navigation` (visit.ts). Forms are taken from our
 * own pages only (http/same-site.ts).
 */
import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';

import { seeOther } from '../http/page.ts';
import { askToWithdraw, showApplications, withdrawAccess } from './applications.ts';
import { answerApproval, showApprovals } from './approvals.ts';
import { isUnavailable } from '../oidc/errors.ts';
import { endSessions, showSessions } from './sessions.ts';
import { finishSignIn, startSignIn } from './sign-in.ts';
import type { AccountDoor, Visit } from './visit.ts';

type Handler = (visit: Visit) => Promise<void> | void;

export interface AccountPages {
  routes: Middleware;
  /** For the page at the issuer's own address: who is signed in, and how many requests wait for them. */
  summaryOf: (ctx: Context) => Promise<{ email: string; waiting: number; url: string } | undefined>;
}

export function createAccountDoor(door: AccountDoor): AccountPages {
  const router = new Router({ prefix: '/account' });
  router.get('/', (ctx) => seeOther(ctx, `${door.issuerPath}/account/approvals`));
  router.get('/callback', (ctx) => finishSignIn(ctx, door));
  router.get('/approvals', visiting(door, showApprovals));
  router.post('/approvals/:id', visiting(door, answerApproval));
  router.get('/sessions', visiting(door, showSessions));
  router.post('/sessions', visiting(door, endSessions));
  router.get('/applications', visiting(door, showApplications));
  router.get('/applications/withdraw', visiting(door, askToWithdraw));
  router.post('/applications/withdraw', visiting(door, withdrawAccess));
  return {
    routes: router.routes() as unknown as Middleware,
    summaryOf: (ctx) =>
      unlessUnavailable(async () => {
        const visitor = await door.desk.visitorOf(ctx);
        if (!visitor) return undefined;
        const { length: waiting } = await door.desk.waitingFor(visitor);
        return { email: visitor.account.email, waiting, url: `${door.issuerPath}/account/approvals` };
      }),
  };
}

/** That page has other things to say, and says them while the sessions cannot be read. */
async function unlessUnavailable<T>(work: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

function visiting(door: AccountDoor, handle: Handler) {
  return async (ctx: Context): Promise<void> => {
    const visitor = await door.desk.visitorOf(ctx);
    if (!visitor) return startSignIn(ctx, door);
    return handle({ ctx, door, visitor });
  };
}
