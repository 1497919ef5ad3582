/**
 * Who visits one application: kept in memory, found by a random id in a cookie. Nothing outlives the process, and the
 * number is bounded: the visitor who was away longest is forgotten first.
 */
import type { Context } from 'koa';

import { randomToken } from '../platform/ids.ts';
import type { Identity, PendingSignIn } from './relying-party.ts';

export interface Visitor {
  id: string;
  /** By `state`, one for each tab that went to the issuer. */
  pending: Map<string, PendingSignIn>;
  identity?: Identity;
  /** Whether the issuer confirmed the identity for the page that is shown next. */
  isConfirmed: boolean;
  /** What the page that is shown next says was done. */
  notice?: string;
  /** The `state` that a sign-out at the issuer will bring back. */
  signOutState?: string;
}

export interface Visitors {
  find: (ctx: Context) => Visitor | undefined;
  /** The visitor, or a new one with a cookie. */
  meet: (ctx: Context) => Visitor;
  /** A new visitor in place of whoever was there: what belonged to the old id is gone. */
  replace: (ctx: Context) => Visitor;
  /** Gives the visitor a new id, so that an id somebody planted in the browser is worth nothing after the sign-in. */
  renewId: (ctx: Context, visitor: Visitor) => void;
}

const MAX_VISITORS = 500;
const MAX_PENDING = 10;

/** @param cookieName one of its own for each application: browsers send cookies to every port of a host */
export function createVisitors({
  cookieName,
  maxVisitors = MAX_VISITORS,
}: {
  cookieName: string;
  maxVisitors?: number;
}): Visitors {
  const byId = new Map<string, Visitor>();

  const find = (ctx: Context): Visitor | undefined => {
    const visitor = byId.get(ctx.cookies.get(cookieName) ?? '');
    if (visitor) {
      byId.delete(visitor.id);
      byId.set(visitor.id, visitor);
    }
    return visitor;
  };
  const admit = (ctx: Context, visitor: Visitor): void => {
    byId.set(visitor.id, visitor);
    const oldest = byId.keys().next();
    if (byId.size > maxVisitors && !oldest.done) byId.delete(oldest.value);
    ctx.cookies.set(cookieName, visitor.id, { httpOnly: true, sameSite: 'lax', path: '/', overwrite: true });
  };
  const create = (ctx: Context): Visitor => {
    const visitor: Visitor = { id: randomToken(), pending: new Map(), isConfirmed: false };
    admit(ctx, visitor);
    return visitor;
  };

  return {
    find,
    meet: (ctx) => find(ctx) ?? create(ctx),
    replace: (ctx) => {
      const former = find(ctx);
      if (former) byId.delete(former.id);
      return create(ctx);
    },
    renewId: (ctx, visitor) => {
      byId.delete(visitor.id);
      visitor.id = randomToken();
      admit(ctx, visitor);
    },
  };
}

/** Remembers a sign-in that is under way; beyond ten tabs the oldest is given up. */
export function remember(visitor: Visitor, pending: PendingSignIn): void {
  visitor.pending.set(pending.state, pending);
  const oldest = visitor.pending.keys().next();
  if (visitor.pending.size > MAX_PENDING && !oldest.done) visitor.pending.delete(oldest.value);
}

/** The sign-in with that `state`; it is taken once. */
export function take(visitor: Visitor, state: string): PendingSignIn | undefined {
  const pending = visitor.pending.get(state);
  visitor.pending.delete(state);
  return pending;
}

/** What is to be told once. */
export function takeNotice(visitor: Visitor | undefined): string | undefined {
  const notice = visitor?.notice;
  if (visitor) delete visitor.notice;
  return notice;
}
