/**
 * The one place where an exception becomes an answer: a page for people, JSON for machines, both with the request's id.
 * Only an AppError's message is told; everything else is logged under that id.
 */
import type { Context, Middleware } from 'koa';

import { isDatabaseUnavailable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { isRedisUnavailable } from '../platform/redis.ts';
import type { Renderer } from './render.ts';
import { requestIdOf } from './request-id.ts';

interface Pages {
  renderer: Renderer;
  /** The page at the issuer's own address. */
  homeUrl: string;
}

export function errorResponses({ renderer, logger, homeUrl }: Pages & { logger: Logger }): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.status >= 500) logger.error({ err: thrown, path: ctx.path }, 'request failed');
      else logger.debug({ err: thrown, path: ctx.path }, 'request refused');
      answer(ctx, error, { renderer, homeUrl });
    }
    if (ctx.status === 404 && (ctx.body === undefined || ctx.body === null)) {
      answer(ctx, new AppError('not_found', 404, 'There is nothing here.'), { renderer, homeUrl });
    }
  };
}

function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const { cause } = thrown instanceof Object ? (thrown as { cause?: unknown }) : {};
  if ([thrown, cause].some((fault) => isDatabaseUnavailable(fault) || isRedisUnavailable(fault))) {
    return new AppError('temporarily_unavailable', 503, 'The service cannot answer now. Try again shortly.', {
      cause: thrown,
      retryAfterSeconds: 2,
    });
  }
  return new AppError('server_error', 500, 'Something went wrong on our side.', { cause: thrown });
}

function answer(ctx: Context, error: AppError, pages: Pages): void {
  ctx.status = error.status;
  ctx.remove('Location');
  // What was under way did not come to pass: a browser must not forget a session that lives on.
  if (error.status >= 500) ctx.remove('Set-Cookie');
  ctx.set('Cache-Control', 'no-store');
  if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
  if (ctx.accepts('json', 'html') === 'html') {
    ctx.type = 'html';
    ctx.body = pageFor(ctx, error, pages);
    return;
  }
  ctx.body = { error: error.code, error_description: error.message, request_id: requestIdOf(ctx) };
}

function pageFor(ctx: Context, error: AppError, { renderer, homeUrl }: Pages): string {
  const id = requestIdOf(ctx);
  if (error.status === 404) return renderer.notFound({ homeUrl, requestId: id });
  if (error.status === 503) {
    return renderer.unavailable({
      requestId: id,
      ...(error.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: error.retryAfterSeconds }),
      ...(ctx.method === 'GET' ? { retryUrl: ctx.url } : {}),
    });
  }
  if (error.status >= 500) {
    return renderer.error({
      title: 'Something went wrong on our side',
      lead: 'It is not your fault, and nothing is wrong with your account.',
      advice: 'Try again in a moment. If it keeps happening, tell your administrator the number below.',
      requestId: id,
    });
  }
  return renderer.error({
    title: 'That did not work',
    advice: error.message,
    requestId: id,
    technical: { code: error.code },
  });
}
