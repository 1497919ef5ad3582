import { z } from 'zod';

import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import type { ApprovalAnswered, ApprovalItem } from '../http/views/account.ts';
import { wordsForScope } from '../http/views/scope-words.ts';
import type { WaitingApproval } from '../oidc/approval-desk.ts';
import { startSignIn } from './sign-in.ts';
import { frameOf, type Visit } from './visit.ts';

const form = z.strictObject({ decision: z.enum(['approve', 'deny']) });

const answers = z.enum(['approved', 'denied', 'gone', 'role-missing']).optional().catch(undefined);

/** What apps ask this person, and what there is to do about it. */
export async function showApprovals(visit: Visit): Promise<void> {
  const { ctx, door, visitor } = visit;
  const waiting = await door.desk.waitingFor(visitor);
  const roles = waiting.some(({ scopes }) => scopes.includes('roles'))
    ? await door.rolesOf(visitor.account.id)
    : [];
  const answered: ApprovalAnswered | undefined = answers.parse(ctx.query['answer']);
  const html = door.renderer.approvals({
    ...frameOf(visit, 'approvals'),
    now: door.clock.now(),
    requests: waiting.map((request) => present(request, visit, roles)),
    ...(answered === undefined ? {} : { answered }),
  });
  sendPage(ctx, html);
}

export async function answerApproval(visit: Visit): Promise<void> {
  const { ctx, door, visitor } = visit;
  const { decision } = readForm(ctx, form);
  const id = String((ctx as { params?: Record<string, string> }).params?.['id']);
  const answer = await door.desk[decision](visitor, id);
  const back = (answered: ApprovalAnswered): void =>
    seeOther(ctx, `${door.issuerPath}/account/approvals?answer=${answered}`);
  if (answer.kind === 'gone') return back('gone');
  if (answer.kind === 'done') return back(decision === 'approve' ? 'approved' : 'denied');
  const { obstacle } = answer;
  return obstacle.kind === 'sign-in' ? startSignIn(ctx, door, obstacle) : back('role-missing');
}

function present(request: WaitingApproval, { door, visitor }: Visit, roles: readonly string[]): ApprovalItem {
  const { client, scopes, apis, obstacle } = request;
  return {
    action: `${door.issuerPath}/account/approvals/${request.id}`,
    clientName: client.name,
    askedAt: request.createdAt,
    endsAt: request.expiresAt,
    items: [
      ...scopes.flatMap((scope) => wordsForScope(scope, visitor.account, roles) ?? []),
      ...apis.map(({ name, permissions }) => ({
        title: name,
        details: permissions.map(({ description }) => description),
      })),
    ],
    ...(request.bindingMessage === undefined ? {} : { bindingMessage: request.bindingMessage }),
    ...(obstacle ? { obstacle } : {}),
  };
}
