/**
 * What the people and machines that run the server ask it: is it alive, is it ready (this file), how is it doing
 * (`metrics-server.ts`, on a listener of its own; `request-metrics.ts` counts requests). Nothing here knows of identity.
 */
import type { Middleware } from 'koa';

import type { Logger } from '../platform/logger.ts';

/** Resolves when the dependency answers, throws when it does not. */
export type HealthCheck = () => Promise<void>;

export interface HealthReport {
  status: 'ready' | 'not_ready' | 'draining';
  checks: Readonly<Record<string, 'up' | 'down'>>;
}

export interface Health {
  /** Answers `/healthz/live` and `/healthz/ready`. Stands before whatever looks at the Host header: probes have none of ours. */
  middleware: Middleware;
  report: () => Promise<HealthReport>;
  /** From now on the server is not ready, so that balancers look elsewhere; it goes on serving. */
  startDraining: () => void;
}

/**
 * Liveness says only that the process answers: restarting it does not mend a database. Readiness asks the dependencies;
 * many probes at once, from many balancers, ask them once.
 *
 * @param checks by the name that the answer gives them
 * @param checkTimeoutMs a check that takes longer counts as down
 * @param freshForMs how long an answer of the dependencies is reused
 */
export function createHealth({
  checks,
  logger,
  checkTimeoutMs = 1_000,
  freshForMs = 250,
}: {
  checks: Readonly<Record<string, HealthCheck>>;
  logger?: Logger;
  checkTimeoutMs?: number;
  freshForMs?: number;
}): Health {
  let isDraining = false;
  let latest: { startedAt: number; results: Promise<HealthReport['checks']> } | undefined;
  const lastSeen = new Map<string, 'up' | 'down'>();

  const runChecks = async (): Promise<HealthReport['checks']> =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(checks).map(async ([name, check]) => {
          const error = await failureOf(check, checkTimeoutMs);
          const state = error === undefined ? 'up' : 'down';
          // The reason is for the log alone: anybody may read the answer.
          if (state === 'down' && lastSeen.get(name) !== 'down')
            logger?.warn({ check: name, err: error }, 'not ready');
          if (state === 'up' && lastSeen.get(name) === 'down') logger?.info({ check: name }, 'ready again');
          lastSeen.set(name, state);
          return [name, state] as const;
        }),
      ),
    );

  const report = async (): Promise<HealthReport> => {
    const now = performance.now();
    if (latest === undefined || now - latest.startedAt >= freshForMs)
      latest = { startedAt: now, results: runChecks() };
    const results = await latest.results;
    const isUp = Object.values(results).every((state) => state === 'up');
    return { status: isDraining ? 'draining' : isUp ? 'ready' : 'not_ready', checks: results };
  };

  return {
    report,
    startDraining: () => {
      isDraining = true;
    },
    middleware: async (ctx, next) => {
      if (ctx.path !== '/healthz/live' && ctx.path !== '/healthz/ready') {
        await next();
        return;
      }
      ctx.set('Cache-Control', 'no-store');
      if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
        ctx.set('Allow', 'GET, HEAD');
        ctx.status = 405;
        return;
      }
      const body = ctx.path === '/healthz/live' ? { status: 'live' } : await report();
      ctx.status = body.status === 'live' || body.status === 'ready' ? 200 : 503;
      ctx.body = body;
    },
  };
}

async function failureOf(check: HealthCheck, timeoutMs: number): Promise<unknown> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    await Promise.race([check(), timeout]);
    return undefined;
  } catch (error) {
    return error ?? new Error('failed without a reason');
  } finally {
    clearTimeout(timer);
  }
}
