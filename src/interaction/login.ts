import { z } from 'zod';

import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import type { InteractionStep } from '../oidc/interactions.ts';
import { readDeviceCookie, writeDeviceCookie } from './device-cookie.ts';
import type { Visit } from './visit.ts';

type LoginStep = Extract<InteractionStep, { name: 'login' }>;
type LoginProblem = Parameters<Visit['door']['renderer']['login']>[0]['problem'];

const form = z.strictObject({
  identifier: z.string().max(320).default(''),
  password: z.string().max(1024).default(''),
});

export async function showLogin(visit: Visit): Promise<void> {
  sendPage(visit.ctx, render(visit));
}

/** `POST /interaction/:uid/login`: one attempt. What a stranger may learn is decided in accounts/authentication.ts. */
export async function submitLogin(visit: Visit): Promise<void> {
  const { ctx, door } = visit;
  const { identifier, password } = readForm(ctx, form);
  const missing = [
    ...(identifier.trim() === '' ? (['identifier'] as const) : []),
    ...(password === '' ? (['password'] as const) : []),
  ];
  if (missing.length > 0) {
    ctx.state['refusal'] = 'form_incomplete';
    return sendPage(ctx, render(visit, identifier, { kind: 'incomplete', missing }), 422);
  }

  const startedAt = door.clock.now();
  const deviceId = readDeviceCookie(ctx, door);
  const result = await door.authentication.verifyPassword({
    identifier,
    password,
    address: ctx.ip,
    ...(deviceId === undefined ? {} : { deviceId }),
  });
  switch (result.kind) {
    case 'ok':
      door.onSignIn('success', 'password');
      writeDeviceCookie(ctx, door, result.deviceId);
      return seeOther(ctx, await door.interactions.finishLogin(ctx, result.account, startedAt));
    case 'refused':
      door.onSignIn('refused', 'password');
      return sendPage(ctx, render(visit, identifier, result), 422);
    case 'throttled':
      door.onSignIn('throttled', 'password');
      ctx.set('Retry-After', String(result.retryAfterSeconds));
      return sendPage(ctx, render(visit, identifier, result), 429);
    case 'busy':
      door.onSignIn('busy', 'password');
      ctx.set('Retry-After', String(result.retryAfterSeconds));
      return sendPage(ctx, render(visit, identifier, result), 503);
    default:
      return result satisfies never;
  }
}

function render({ door, interaction, at }: Visit, identifier?: string, problem?: LoginProblem): string {
  const step = interaction.step as LoginStep;
  const notice = noticeFor(step.reasons);
  return door.renderer.login({
    action: at('/login'),
    clientName: interaction.client.name,
    identifier: identifier ?? step.loginHint ?? '',
    ...(notice === undefined ? {} : { notice }),
    ...(problem === undefined ? {} : { problem }),
  });
}

/** Why somebody who may be signed in already is asked again. */
function noticeFor(reasons: readonly string[]): string | undefined {
  if (reasons.includes('switch_account')) return 'Sign in with another account to continue.';
  if (reasons.some((reason) => reason === 'max_age' || reason === 'login_prompt'))
    return 'Sign in again to continue.';
  return undefined;
}
