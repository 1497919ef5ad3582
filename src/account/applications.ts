import { z } from 'zod';

import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import { AppError } from '../platform/errors.ts';
import { frameOf, type Visit } from './visit.ts';

const form = z.strictObject({ client: z.string().max(2_000), decision: z.enum(['withdraw', 'keep']) });

/** Which apps this person let in. */
export async function showApplications(visit: Visit): Promise<void> {
  const { ctx, door, visitor } = visit;
  const letIn = await door.consents.letIn(visitor.account.id);
  const html = door.renderer.applications({
    ...frameOf(visit, 'applications'),
    now: door.clock.now(),
    applications: await Promise.all(
      letIn.map(async ({ clientId, at }) => ({
        name: await nameOf(visit, clientId),
        letInAt: at,
        withdrawUrl: `${pathOf(visit)}/withdraw?client=${encodeURIComponent(clientId)}`,
      })),
    ),
    ...(ctx.query['answer'] === 'withdrawn' ? { answered: 'withdrawn' } : {}),
  });
  sendPage(ctx, html);
}

/** Asks once, and says what will be lost. */
export async function askToWithdraw(visit: Visit): Promise<void> {
  const { ctx, door, visitor } = visit;
  const clientId = typeof ctx.query['client'] === 'string' ? ctx.query['client'] : '';
  const letIn = await door.consents.letIn(visitor.account.id);
  // An old tab, or an address that somebody made up.
  if (!letIn.some((one) => one.clientId === clientId)) return seeOther(ctx, pathOf(visit));
  const html = door.renderer.withdrawal({
    ...frameOf(visit, 'applications'),
    action: `${pathOf(visit)}/withdraw`,
    clientId,
    clientName: await nameOf(visit, clientId),
  });
  return sendPage(ctx, html);
}

export async function withdrawAccess(visit: Visit): Promise<void> {
  const { ctx, door, visitor } = visit;
  const { client, decision } = readForm(ctx, form);
  if (decision === 'keep') return seeOther(ctx, pathOf(visit));
  const { account } = visitor;
  try {
    await door.consents.withdraw(account, client, { kind: 'account', id: account.id });
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'consent_not_found')) throw error;
    ctx.state['refusal'] = error.code;
    return seeOther(ctx, pathOf(visit));
  }
  return seeOther(ctx, `${pathOf(visit)}?answer=withdrawn`);
}

/** A client that is gone, or whose document nobody has at hand, goes by its id. */
async function nameOf({ door }: Visit, clientId: string): Promise<string> {
  return (await door.findClient(clientId))?.name ?? clientId;
}

function pathOf({ door }: Visit): string {
  return `${door.issuerPath}/account/applications`;
}
