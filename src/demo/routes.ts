/** The pages of one demo application. Forms are posts without fields; whatever fails is thrown, and told in one place. */
import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';
import { z } from 'zod';

import { seeOther, sendPage } from '../http/page.ts';
import type { Renderer } from '../http/render.ts';
import { AppError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import type { DemoClient } from './applications.ts';
import { issuerErrorCode } from './faults.ts';
import { TWO_FACTORS, type Identity, type Purpose, type RelyingParty } from './relying-party.ts';
import { sessionProps } from './session-page.ts';
import { remember, take, takeNotice, type Visitor, type Visitors } from './visitors.ts';

export interface ApplicationParts {
  client: DemoClient;
  /** The other demo application. */
  other: DemoClient;
  issuer: string;
  /** As in "Sign in with Gatehouse". */
  issuerName: string;
  relyingParty: RelyingParty;
  visitors: Visitors;
  renderer: Renderer;
  logger: Logger;
}

/** OIDC Core §4. More parameters may follow; what is ours is read strictly. */
const loginQuery = z.object({
  iss: z.string().exactOptional(),
  login_hint: z.string().max(320).exactOptional(),
  prompt: z.literal('none').exactOptional(),
});

/** What the issuer answers to `prompt=none` when it cannot do without the person (OIDC Core §3.1.2.6). */
const NEEDS_THE_PERSON = new Set([
  'login_required',
  'interaction_required',
  'consent_required',
  'account_selection_required',
  'access_denied',
]);

export function createApplicationRoutes(parts: ApplicationParts): Middleware {
  const router = new Router();
  const route = (handle: (ctx: Context, parts: ApplicationParts) => Promise<void>): Middleware => {
    return (ctx) => handle(ctx, parts);
  };
  router.get('/', route(showHome));
  router.get('/login', route(login));
  router.post('/sign-in', route(signIn));
  router.get('/callback', route(callback));
  router.post('/refresh', route(refresh));
  router.post('/step-up', route(stepUp));
  router.post('/sign-out', route(signOut));
  router.get('/signed-out', route(signedOut));
  return router.routes() as unknown as Middleware;
}

/**
 * A page is shown as signed in once for each word of the issuer: a later visit asks it again, silently. So whoever
 * signed out elsewhere is signed out here, also where the application's tokens live on (`offline_access`).
 */
async function showHome(ctx: Context, parts: ApplicationParts): Promise<void> {
  const visitor = parts.visitors.find(ctx);
  const { client, issuerName, other, renderer } = parts;
  if (!visitor?.identity) {
    const html = renderer.demoHome({
      application: client,
      issuerName,
      signIn: { action: '/sign-in' },
      notice: takeNotice(visitor),
      other: { href: other.clientUri, label: other.name },
    });
    sendPage(ctx, html);
    return;
  }
  if (!visitor.isConfirmed) {
    await goToIssuer(ctx, parts, 'confirm', { idToken: visitor.identity.idToken });
    return;
  }
  visitor.isConfirmed = false;
  sendPage(ctx, renderer.demoSession(sessionProps(visitor.identity, takeNotice(visitor), parts)));
}

async function login(ctx: Context, parts: ApplicationParts): Promise<void> {
  const query = loginQuery.safeParse(ctx.query);
  if (!query.success) throw new AppError('unreadable_link', 400, 'The parameters could not be read.');
  const { iss, login_hint: loginHint, prompt } = query.data;
  if (iss !== undefined && iss !== parts.issuer) {
    throw new AppError('wrong_issuer', 400, 'The link names another issuer.');
  }
  const purpose = prompt === 'none' ? 'silent' : 'sign-in';
  await goToIssuer(ctx, parts, purpose, loginHint === undefined ? {} : { loginHint });
}

async function signIn(ctx: Context, parts: ApplicationParts): Promise<void> {
  await goToIssuer(ctx, parts, 'sign-in');
}

async function stepUp(ctx: Context, parts: ApplicationParts): Promise<void> {
  await goToIssuer(ctx, parts, 'step-up');
}

async function goToIssuer(
  ctx: Context,
  { relyingParty, visitors }: ApplicationParts,
  purpose: Purpose,
  hints: { idToken?: string; loginHint?: string } = {},
): Promise<void> {
  const { url, pending } = await relyingParty.begin(purpose, hints);
  remember(visitors.meet(ctx), pending);
  seeOther(ctx, url);
}

async function callback(ctx: Context, parts: ApplicationParts): Promise<void> {
  const visitor = parts.visitors.find(ctx);
  const state = ctx.query['state'];
  const pending = visitor && typeof state === 'string' ? take(visitor, state) : undefined;
  if (!visitor || !pending) {
    if (!visitor?.identity) {
      throw new AppError('unknown_sign_in', 400, 'No sign-in with that state is under way in this browser.');
    }
    // The back button, or a link that somebody else made: whoever is signed in stays so.
    seeOther(ctx, '/');
    return;
  }
  const { purpose } = pending;
  try {
    enter(ctx, parts, visitor, await parts.relyingParty.complete(ctx.search, pending), purpose);
  } catch (error) {
    const isQuiet = purpose === 'silent' || purpose === 'confirm';
    if (!isQuiet || !NEEDS_THE_PERSON.has(issuerErrorCode(error) ?? '')) throw error;
    leave(ctx, parts, stayedOut(purpose, issuerErrorCode(error), parts));
  }
  seeOther(ctx, '/');
}

async function refresh(ctx: Context, parts: ApplicationParts): Promise<void> {
  const visitor = parts.visitors.find(ctx);
  if (visitor?.identity) {
    try {
      visitor.identity = await parts.relyingParty.refresh(visitor.identity);
      visitor.isConfirmed = true;
      visitor.notice = 'The tokens were refreshed.';
    } catch (error) {
      if (issuerErrorCode(error) !== 'invalid_grant') throw error;
      leave(ctx, parts, ended(parts));
    }
  }
  seeOther(ctx, '/');
}

async function signOut(ctx: Context, parts: ApplicationParts): Promise<void> {
  const { relyingParty, visitors, logger } = parts;
  const identity = visitors.find(ctx)?.identity;
  if (!identity) {
    seeOther(ctx, '/');
    return;
  }
  // Here it is over whatever becomes of the rest.
  const visitor = visitors.replace(ctx);
  await relyingParty.giveUp(identity).catch((error: unknown) => {
    logger.warn({ reason: (error as Error).message }, 'a refresh token could not be given up');
  });
  const { url, state } = await relyingParty.signOut(identity);
  visitor.signOutState = state;
  seeOther(ctx, url);
}

/** The way back from the issuer's sign-out. */
async function signedOut(ctx: Context, { client, visitors }: ApplicationParts): Promise<void> {
  const visitor = visitors.find(ctx);
  if (visitor?.signOutState !== undefined && ctx.query['state'] === visitor.signOutState) {
    delete visitor.signOutState;
    visitor.notice = `You are signed out of ${client.name}.`;
  }
  seeOther(ctx, '/');
  return Promise.resolve();
}

function enter(
  ctx: Context,
  { visitors, issuerName }: ApplicationParts,
  visitor: Visitor,
  identity: Identity,
  purpose: Purpose,
): void {
  // Two tabs that confirm at once share the id; only somebody new needs another.
  if (visitor.identity?.claims.sub !== identity.claims.sub) visitors.renewId(ctx, visitor);
  visitor.identity = identity;
  visitor.isConfirmed = true;
  if (purpose === 'silent') visitor.notice = `${issuerName} signed you in without a question.`;
  if (purpose === 'step-up') {
    visitor.notice =
      identity.claims['acr'] === TWO_FACTORS
        ? `${issuerName} confirmed a second step.`
        : `${issuerName} signed you in without a second step.`;
  }
}

function leave(ctx: Context, { visitors }: ApplicationParts, notice: string): void {
  visitors.replace(ctx).notice = notice;
}

function ended({ client, issuerName }: ApplicationParts): string {
  return `Your sign-in at ${issuerName} has ended, so ${client.name} has signed you out.`;
}

function stayedOut(purpose: Purpose, code: string | undefined, parts: ApplicationParts): string {
  const { client, issuerName } = parts;
  if (purpose === 'confirm') return ended(parts);
  return code === 'login_required'
    ? `Nobody is signed in at ${issuerName}, so ${client.name} could not sign you in silently.`
    : `${issuerName} has a question for you first: choose “Sign in with ${issuerName}”.`;
}
