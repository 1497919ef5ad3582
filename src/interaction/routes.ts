/**
 * The interaction door: the pages inside an authorization request. Every form leads back to the provider, whose policy
 * (oidc/policy.ts) picks the next step; the steps here never call one another.
 *
 * A page is `GET /interaction/:uid`; which one is the provider's business. Each form posts to a path of its own below,
 * and a form that no longer fits the step (an old tab, the back button) only leads to the page that does.
 */
import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';

import { seeOther, sendPage } from '../http/page.ts';
import { requestIdOf } from '../http/request-id.ts';
import type { InteractionStep } from '../oidc/interactions.ts';
import { AppError } from '../platform/errors.ts';
import { allowOrDecline, showConsent } from './consent.ts';
import { denyAccess, showAccessDenied, switchAccount } from './access.ts';
import { showLogin, submitLogin } from './login.ts';
import {
  confirmEnrolment,
  continueAfterCodes,
  renewCodes,
  showRecoveryCode,
  showSecondFactor,
  submitRecoveryCode,
  submitTotp,
} from './second-factor.ts';
import type { InteractionDoor, Visit } from './visit.ts';

type Handler = (visit: Visit) => Promise<void> | void;

export function createInteractionRoutes(door: InteractionDoor): Middleware {
  const router = new Router({ prefix: '/interaction/:uid' });

  router.get('/', visiting(door, undefined, showStep));
  router.post('/login', visiting(door, 'login', submitLogin));
  router.post('/totp', visiting(door, 'mfa', submitTotp));
  router.get('/recovery-code', visiting(door, 'mfa', showRecoveryCode));
  router.post('/recovery-code', visiting(door, 'mfa', submitRecoveryCode));
  router.post('/enrol', visiting(door, 'mfa', confirmEnrolment));
  router.post('/recovery-codes', visiting(door, 'mfa', continueAfterCodes));
  router.post('/recovery-codes/renew', visiting(door, 'mfa', renewCodes));
  router.post('/access', visiting(door, 'access', denyAccess));
  router.post('/switch', visiting(door, 'access', switchAccount));
  router.post('/consent', visiting(door, 'consent', allowOrDecline));
  // The address of a form that was refused is in the address bar: whoever loads it again comes to the page.
  router.get(
    '/:form',
    visiting(door, undefined, ({ ctx, at }) => seeOther(ctx, at())),
  );
  return router.routes() as unknown as Middleware;
}

const showStep: Handler = (visit) => PAGES[visit.interaction.step.name](visit);

const PAGES: Record<InteractionStep['name'], Handler> = {
  login: showLogin,
  mfa: showSecondFactor,
  access: showAccessDenied,
  consent: showConsent,
};

/** Finds the interaction, or says why there is none; sends a form of another step to the page of this one. */
function visiting(door: InteractionDoor, step: InteractionStep['name'] | undefined, handle: Handler) {
  return async (ctx: Context & { params: Record<string, string> }): Promise<void> => {
    const uid = ctx.params['uid'] ?? '';
    const found = await door.interactions.find(ctx, uid);
    if (found.kind !== 'found') return sendDeadEnd(ctx, door, found.kind);
    const { interaction } = found;
    const query = new URLSearchParams({ client_id: interaction.client.clientId });
    const at = (path = ''): string => `${door.issuerPath}/interaction/${uid}${path}?${query.toString()}`;
    if (step !== undefined && interaction.step.name !== step) return seeOther(ctx, at());
    try {
      return await handle({ ctx, door, interaction, at });
    } catch (error) {
      // Signed out, or the account disabled, while this very form was on its way.
      if (!(error instanceof AppError) || error.code !== 'interaction_ended') throw error;
      return sendDeadEnd(ctx, door, 'expired');
    }
  };
}

/** With a link back to the application, for only there the sign-in can begin again. */
async function sendDeadEnd(
  ctx: Context,
  door: InteractionDoor,
  kind: 'expired' | 'no-cookie',
): Promise<void> {
  const { client_id: clientId } = ctx.query;
  const client =
    typeof clientId === 'string' && clientId !== '' ? await door.findClient(clientId) : undefined;
  const url = client?.initiateLoginUri ?? client?.clientUri;
  const props = {
    requestId: requestIdOf(ctx),
    ...(client && url ? { client: { name: client.name, url } } : {}),
  };
  ctx.state['refusal'] = kind === 'expired' ? 'interaction_ended' : 'cookie_missing';
  if (kind === 'no-cookie') return sendPage(ctx, door.renderer.cookiesDisabled(props), 400);
  const { interactionTtlSeconds: lifetimeSeconds } = door;
  return sendPage(ctx, door.renderer.expired({ lifetimeSeconds, ...props }), 410);
}
