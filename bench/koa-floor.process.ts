/** The floor under every answer: Koa alone, in a process of its own, reads a form and answers as many bytes as a token. */
import type { AddressInfo } from 'node:net';

import Koa from 'koa';

const answer = { access_token: 'x'.repeat(46), expires_in: 600, token_type: 'Bearer' };

const app = new Koa();
app.use(async (ctx) => {
  const chunks: Buffer[] = [];
  for await (const chunk of ctx.req) chunks.push(chunk as Buffer);
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  ctx.body = form.get('grant_type') === null ? { error: 'invalid_request' } : answer;
});

const server = app.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
