import type { Context } from 'koa';

/** Sends a page that shows somebody's state: never stored by anybody on the way. */
export function sendPage(ctx: Context, html: string, status = 200): void {
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  ctx.type = 'html';
  ctx.body = html;
}

/** After a form was taken: the next page by GET, so that a reload does not send the form again. */
export function seeOther(ctx: Context, url: string): void {
  ctx.status = 303;
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Location', url);
  ctx.body = '';
}
