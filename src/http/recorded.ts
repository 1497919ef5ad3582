import type { Middleware } from 'koa';

/** What http/ needs to know of a request's unit of work (audit/). */
export interface Recording {
  commit: () => Promise<void>;
  rollback: () => Promise<void>;
}

/**
 * Everything behind this runs in a unit of work that is durable before the answer leaves. A request that fails takes
 * back what it did; what it had to say about the failure is its own business.
 */
export function recorded(run: <T>(work: (unit: Recording) => T) => T): Middleware {
  return (_ctx, next) =>
    run(async (unit) => {
      try {
        await next();
      } catch (error) {
        await unit.rollback();
        throw error;
      }
      await unit.commit();
    });
}
