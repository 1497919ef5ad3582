import { z } from 'zod';

import { ACCOUNT_CLIENT_ID } from '../clients/own-client.ts';
import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import type { SessionItem, SessionsEnded } from '../http/views/sessions.ts';
import { AppError } from '../platform/errors.ts';
import { frameOf, type Visit } from './visit.ts';

/** Which button was pressed: of a session, of an application in all of them, or of everything. */
const form = z.union([
  z.strictObject({ session: z.string().max(200) }),
  z.strictObject({ app: z.string().max(2_000) }),
  z.strictObject({ everywhere: z.literal('yes') }),
]);

const ended = z.enum(['session', 'app']).optional().catch(undefined);

/** In which browsers and apps this person is signed in. */
export async function showSessions(visit: Visit): Promise<void> {
  const { ctx, door } = visit;
  const done: SessionsEnded | undefined = ended.parse(ctx.query['ended']);
  const html = door.renderer.sessions({
    ...frameOf(visit, 'sessions'),
    ...(await whereSignedIn(visit)),
    action: `${door.issuerPath}/account/sessions`,
    logoutUrl: `${door.issuerPath}/oauth/logout`,
    now: door.clock.now(),
    ...(done === undefined ? {} : { ended: done }),
  });
  sendPage(ctx, html);
}

/** @throws AppError 404 `session_not_found`, also for somebody else's */
export async function endSessions(visit: Visit): Promise<void> {
  const { ctx, door, visitor } = visit;
  const { account } = visitor;
  const by = { kind: 'account', id: account.id } as const;
  const asked = readForm(ctx, form);
  if ('everywhere' in asked) {
    await door.signOut.everywhere(account, by);
    return sendPage(ctx, door.renderer.signedOut({ isEverywhere: true }));
  }
  if ('session' in asked) {
    await door.signOut.session(account, asked.session, by);
  } else {
    const { applications, offlineGrants } = await door.signOut.application(account, asked.app, by);
    if (applications + offlineGrants === 0)
      throw new AppError('session_not_found', 404, 'You are not signed in there.');
  }
  return seeOther(ctx, `${door.issuerPath}/account/sessions?ended=${'session' in asked ? 'session' : 'app'}`);
}

/** The log knows of every sign-in, the store which sessions still stand. */
async function whereSignedIn({
  door,
  visitor,
}: Visit): Promise<{ sessions: SessionItem[]; apps: { id: string; name: string }[] }> {
  const names = new Map<string, string>();
  const sessions: SessionItem[] = [];
  const signedIn = Map.groupBy(await door.signOut.list(visitor.account), ({ sessionUid }) => sessionUid);
  for (const uid of new Set([visitor.sessionUid, ...signedIn.keys()])) {
    const session = await door.findLiveSession(uid, visitor.account.sub);
    if (!session) continue;
    const standing = (signedIn.get(uid) ?? []).filter(({ isLeft, isWithdrawn }) => !isLeft && !isWithdrawn);
    const ids = new Set(standing.map(({ clientId }) => clientId));
    ids.delete(ACCOUNT_CLIENT_ID);
    for (const id of ids) {
      const client = names.has(id) ? undefined : await door.findClient(id);
      if (client) names.set(id, client.name);
    }
    sessions.push({
      uid,
      signedInAt: session.signedInAt,
      isThisBrowser: uid === visitor.sessionUid,
      apps: [...ids].flatMap((id) => names.get(id) ?? []),
    });
  }
  return { sessions, apps: [...names].map(([id, name]) => ({ id, name })) };
}
