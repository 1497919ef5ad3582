import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import Koa from 'koa';

import { errorResponses } from '../../../src/http/errors.ts';
import { createRenderer } from '../../../src/http/render.ts';
import { AppError } from '../../../src/platform/errors.ts';
import { createLogger } from '../../../src/platform/logger.ts';

let listening: Server;
let origin: string;
beforeAll(async () => {
  const app = new Koa();
  const renderer = createRenderer({ branding: { name: 'Gatehouse' }, assetBase: '/assets/x' });
  app.use(
    errorResponses({
      renderer,
      logger: createLogger({ level: 'silent', format: 'json' }),
      homeUrl: '/',
    }),
  );
  app.use((ctx) => {
    ctx.set('Set-Cookie', 'session=; expires=Thu, 01 Jan 1970 00:00:00 GMT');
    ctx.set('Location', 'https://app.example/');
    if (ctx.path === '/refused') throw new AppError('not_yours', 403, 'It is not yours.');
    throw new TypeError('a fault of ours at 10.0.0.7');
  });
  listening = createServer(app.callback());
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await new Promise((resolve) => listening.close(resolve));
});

describe('an error', () => {
  it('of ours takes back what was under way, cookies included, and tells nothing of itself', async () => {
    const response = await fetch(`${origin}/fault`, { headers: { accept: 'application/json' } });
    expect(response.status).toBe(500);
    expect(response.headers.getSetCookie()).toEqual([]);
    expect(response.headers.get('location')).toBeNull();
    expect(await response.json()).toMatchObject({
      error: 'server_error',
      error_description: 'Something went wrong on our side.',
    });
  });

  it('of the client leaves the cookies that were set, and says what was wrong', async () => {
    const response = await fetch(`${origin}/refused`, { headers: { accept: 'application/json' } });
    expect(response.status).toBe(403);
    expect(response.headers.getSetCookie()).toHaveLength(1);
    expect(await response.json()).toMatchObject({
      error: 'not_yours',
      error_description: 'It is not yours.',
    });
  });
});
