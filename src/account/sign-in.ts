import { timingSafeEqual } from 'node:crypto';

import type { Context } from 'koa';

import { ACCOUNT_CLIENT_ID } from '../clients/own-client.ts';
import { seeOther, sendPage } from '../http/page.ts';
import { requestIdOf } from '../http/request-id.ts';
import { randomToken } from '../platform/ids.ts';
import { ACCOUNT_PAGES, type AccountDoor, type AccountPage } from './visit.ts';

/**
 * Sends the browser to sign in, or to sign in with more, or anew. What comes back is a code that nobody redeems: the
 * session that was made on the way is what this door goes by.
 */
export function startSignIn(
  ctx: Context,
  door: AccountDoor,
  wanted: { acr?: string; isAnew?: boolean } = {},
): void {
  const state = `${pageAt(ctx.path)}.${randomToken(16)}`;
  ctx.cookies.set(cookieName(door), state, {
    ...cookiePlace(door),
    maxAge: door.interactionTtlSeconds * 1000,
  });
  const parameters = new URLSearchParams({
    client_id: ACCOUNT_CLIENT_ID,
    redirect_uri: `${door.issuer}/account/callback`,
    response_type: 'code',
    scope: 'openid',
    state,
    ...(wanted.acr === undefined ? {} : { acr_values: wanted.acr }),
    ...(wanted.isAnew ? { prompt: 'login' } : {}),
  });
  seeOther(ctx, `${door.issuer}/oauth/authorize?${parameters.toString()}`);
}

/** Back from signing in. Where that failed, or this browser did not start it, a page says so and leads there again. */
export function finishSignIn(ctx: Context, door: AccountDoor): void {
  const expected = ctx.cookies.get(cookieName(door), { signed: true });
  ctx.cookies.set(cookieName(door), null, cookiePlace(door));
  if (expected === undefined || !isSame(expected, textOf(ctx.query['state']))) {
    return refuse(ctx, door, {
      refusal: 'sign_in_not_ours',
      status: 400,
      title: 'This page has expired',
      lead: 'You started signing in too long ago, or in another browser.',
    });
  }
  if (ctx.query['error'] !== undefined) {
    return refuse(ctx, door, {
      refusal: 'not_signed_in',
      status: 403,
      title: 'You are not signed in',
      lead: 'So your account stays closed.',
    });
  }
  return seeOther(ctx, `${door.issuerPath}/account/${pageAt(expected.split('.')[0] ?? '')}`);
}

function refuse(
  ctx: Context,
  door: AccountDoor,
  { refusal, status, title, lead }: { refusal: string; status: number; title: string; lead: string },
): void {
  ctx.state['refusal'] = refusal;
  const html = door.renderer.error({
    title,
    lead,
    advice: 'Nothing is lost. Open your account again to sign in.',
    action: { href: `${door.issuerPath}/account`, label: 'Open your account' },
    requestId: requestIdOf(ctx),
  });
  sendPage(ctx, html, status);
}

/** @param path of a page of the account, or its name */
function pageAt(path: string): AccountPage {
  return ACCOUNT_PAGES.find((page) => path.split('/').includes(page)) ?? ACCOUNT_PAGES[0];
}

/** `__Host-` (RFC 6265bis §4.1.3.2) cannot be: the cookie is for these pages alone. */
function cookieName({ isHttps }: AccountDoor): string {
  return isHttps ? '__Secure-gatehouse-account' : 'gatehouse-account';
}

function cookiePlace({ isHttps, issuerPath }: AccountDoor) {
  return {
    signed: true,
    httpOnly: true,
    sameSite: 'lax',
    secure: isHttps,
    path: `${issuerPath}/account`,
  } as const;
}

function isSame(expected: string, given: string): boolean {
  const [one, other] = [Buffer.from(expected), Buffer.from(given)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
