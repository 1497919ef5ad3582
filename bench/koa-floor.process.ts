/**
 * The floor under every answer: Koa alone, in a process of its own, reads a form and answers as many bytes as a token.
 * `bare` reads it by hand, `parser` by koa-body, as nearly every application on Koa does.
 */
import type { AddressInfo } from 'node:net';

import Koa, { type Middleware } from 'koa';
import { koaBody } from 'koa-body';

const answer = { access_token: 'x'.repeat(46), expires_in: 600, token_type: 'Bearer' };

const bare: Middleware = async (ctx) => {
  const chunks: Buffer[] = [];
  for await (const chunk of ctx.req) chunks.push(chunk as Buffer);
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  ctx.body = form.get('grant_type') === null ? { error: 'invalid_request' } : answer;
};
const parsed: Middleware = (ctx) => {
  const { body } = ctx.request as { body?: Record<string, unknown> };
  ctx.body = body?.['grant_type'] === undefined ? { error: 'invalid_request' } : answer;
};

const app = new Koa();
if (process.argv[2] === 'parser') app.use(koaBody()).use(parsed);
else app.use(bare);

const server = app.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
