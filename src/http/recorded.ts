import type { Context, Middleware } from 'koa';
import { ZodError } from 'zod';

import { AppError } from '../platform/errors.ts';

/** A refusal that nobody else told the audit log of. */
export interface RefusedRequest {
  type: 'request.refused';
  outcome: 'failure';
  payload: { error: string; status: number; method: string; route: string; reason?: string };
}

/** What http/ needs to know of a request's unit of work (audit/). */
export interface Recording {
  commit: () => Promise<void>;
  rollback: () => Promise<void>;
  record: (event: RefusedRequest) => void;
  /** Whether the log will tell, or tells already, of this request. */
  isOnRecord: () => boolean;
}

/**
 * Everything behind this runs in a unit of work that is durable before the answer leaves. A request that fails takes
 * back what it did; that it was refused, and why, stays on record.
 */
export function recorded(run: <T>(work: (unit: Recording) => T) => T): Middleware {
  return (ctx, next) =>
    run(async (unit) => {
      try {
        await next();
      } catch (error) {
        await unit.rollback();
        if (!(error instanceof AppError) || error.status >= 500) {
          // What lasts beyond a rollback: why the answer is withheld, where the log can still be written.
          await unit.commit().catch(() => {});
          throw error;
        }
        unit.record(refusal(ctx, error.status, error.code, reasonOf(error)));
        await unit.commit();
        throw error;
      }
      if (isRefusal(ctx) && !unit.isOnRecord()) unit.record(refusal(ctx, ctx.status, nameOf(ctx)));
      await unit.commit();
    });
}

/** That nothing is at an address is no refusal, and anybody could fill the log with it. */
function isRefusal({ status, state }: Context): boolean {
  const { isNoRefusal, refusal: name } = state as { isNoRefusal?: unknown; refusal?: unknown };
  if (isNoRefusal === true) return false;
  if (typeof name === 'string') return true;
  return status >= 400 && status < 500 && status !== 404;
}

function refusal(ctx: Context, status: number, error: string, reason?: string): RefusedRequest {
  const payload = { error, status, method: ctx.method.slice(0, 20), route: routeOf(ctx.path) };
  return {
    type: 'request.refused',
    outcome: 'failure',
    payload: { ...payload, ...(reason === undefined ? {} : { reason }) },
  };
}

/** A door that answers with a page of its own, or leads to one, says by `ctx.state.refusal` what it refused. */
function nameOf({ state, status }: Context): string {
  const { refusal: name } = state as { refusal?: unknown };
  return typeof name === 'string' ? name : `http_${status}`;
}

/** What the person is not told. Of a form only which fields were wrong, and how: never what stood in them. */
function reasonOf({ cause }: AppError): string | undefined {
  if (cause instanceof ZodError) {
    return cause.issues
      .map(({ path, code }) => [path.join('.'), code].filter(Boolean).join(': '))
      .join(', ')
      .slice(0, 300);
  }
  return cause instanceof Error ? cause.name : undefined;
}

/** `/interaction/:id/login`: what is long enough to be an id, or a secret, is none of the log's business. */
function routeOf(path: string): string {
  return path
    .split('/')
    .map((segment) => (/^[a-z-]{1,24}$/.test(segment) || segment === '' ? segment : ':id'))
    .join('/')
    .slice(0, 200);
}
