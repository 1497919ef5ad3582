import type { Context } from 'koa';

/** Sends a page that shows somebody's state: never stored by anybody on the way. */
export function sendPage(ctx: Context, html: string, status = 200): void {
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  ctx.type = 'html';
  ctx.body = html;
}

/** Lets this one answer load frames from these origins, and from no others. */
export function allowFrames(ctx: Context, origins: readonly string[]): void {
  const policy = ctx.response.get('Content-Security-Policy');
  ctx.set('Content-Security-Policy', `${policy}; frame-src ${[...new Set(origins)].join(' ')}`);
}

/** After a form was taken: the next page by GET, so that a reload does not send the form again. */
export function seeOther(ctx: Context, url: string): void {
  ctx.status = 303;
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Location', url);
  ctx.body = '';
}
