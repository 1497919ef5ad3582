import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { OPERATOR } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { freePort } from '../../support/ports.ts';

const PATHS = [
  '/.well-known/openid-configuration',
  '/.well-known/oauth-authorization-server',
  '/oauth/jwks',
] as const;

describe('discovery and the JWKS', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startGatehouse();
  });
  afterAll(() => server.stop());

  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${server.issuer}${path}`, init);
  const headersThatMatter = ({ headers }: Response): Record<string, string | null> =>
    Object.fromEntries(
      [
        'access-control-allow-origin',
        'cache-control',
        'content-length',
        'content-security-policy',
        'content-type',
        'etag',
        'vary',
        'x-content-type-options',
      ].map((name) => [name, headers.get(name)]),
    );

  it.each(PATHS)('are kept as the provider said them: %s', async (path) => {
    const first = await ask(path);
    const second = await ask(path);

    expect([first.status, second.status]).toEqual([200, 200]);
    expect(headersThatMatter(second)).toEqual(headersThatMatter(first));
    expect(await second.text()).toBe(await first.text());
    expect(second.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
    expect(second.headers.get('cache-control')).toBe('public, max-age=300');
  });

  it.each(PATHS)('are not sent again to who has them: %s', async (path) => {
    const etag = (await ask(path)).headers.get('etag') ?? '';

    const again = await ask(path, { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    expect(again.headers.get('etag')).toBe(etag);
    expect(await again.text()).toBe('');

    const held = (tags: string): Promise<Response> => ask(path, { headers: { 'if-none-match': tags } });
    expect((await held(`"another", W/${etag}`)).status).toBe(304);
    expect((await held('"another"')).status).toBe(200);
  });

  it.each(PATHS)('answer HEAD without a body: %s', async (path) => {
    const { headers } = await ask(path);
    const head = await ask(path, { method: 'HEAD' });

    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe(headers.get('content-length'));
    expect(await head.text()).toBe('');
  });

  it.each(PATHS)('may be read by scripts of any origin: %s', async (path) => {
    const headers = { origin: 'https://app.example' };
    const read = await ask(path, { headers });
    expect(read.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(read.headers.get('vary')).toMatch(/\bOrigin\b/);

    const preflight = await ask(path, {
      method: 'OPTIONS',
      headers: { ...headers, 'access-control-request-method': 'GET' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET');
  });

  it('take nothing but questions', async () => {
    expect((await ask('/oauth/jwks', { method: 'POST' })).status).toBe(404);
  });

  it('say the same whatever host they are asked as', async () => {
    const plain = await (await ask(PATHS[0])).text();
    const forged = await ask(PATHS[0], { headers: { 'x-forwarded-host': 'evil.example' } });
    expect(await forged.text()).toBe(plain);
  });

  it('say how clients prove themselves at introspection and revocation, as at the token endpoint', async () => {
    const metadata = (await (await ask(PATHS[1])).json()) as Record<string, unknown>;
    for (const said of ['auth_methods', 'auth_signing_alg_values'] as const) {
      const atToken = metadata[`token_endpoint_${said}_supported`];
      expect(atToken).toEqual(expect.arrayContaining([expect.any(String)]));
      expect(metadata[`introspection_endpoint_${said}_supported`]).toEqual(atToken);
      expect(metadata[`revocation_endpoint_${said}_supported`]).toEqual(atToken);
    }
  });

  it('change with the keys, at once', async () => {
    const before = await ask('/oauth/jwks');
    const known = kidsIn(await before.json());

    const [made] = await server.subjects.keys.rotate({ alg: 'ES256' }, OPERATOR);

    const after = await ask('/oauth/jwks', {
      headers: { 'if-none-match': before.headers.get('etag') ?? '' },
    });
    expect(after.status).toBe(200);
    expect(kidsIn(await after.json())).toEqual(new Set([...known, made?.kid]));
  });
});

describe('an issuer with a path', () => {
  let server: TestServer;
  beforeAll(async () => {
    const port = await freePort();
    server = await startGatehouse({
      env: { PORT: String(port), GATEHOUSE_ISSUER: `http://localhost:${port}/tenant` },
    });
  });
  afterAll(() => server.stop());

  it.each([
    '/tenant/.well-known/openid-configuration',
    '/tenant/.well-known/oauth-authorization-server',
    // Where RFC 8414 §3.1 has it.
    '/.well-known/oauth-authorization-server/tenant',
    '/tenant/oauth/jwks',
  ])('publishes in the same way: %s', async (place) => {
    const url = new URL(place, server.issuer);
    const first = await fetch(url);
    expect([first.status, first.headers.get('cache-control')]).toEqual([200, 'public, max-age=300']);
    const etag = first.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[^"]+"$/);
    const again = await fetch(url, { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('etag')]).toEqual([200, etag]);
  });

  it('publishes nothing beside it', async () => {
    for (const path of PATHS) expect((await fetch(new URL(path, server.issuer))).status).toBe(404);
  });
});

describe('a JWKS that keys join right before they sign', () => {
  it('is not kept longer than that', async () => {
    const server = await startGatehouse({ env: { GATEHOUSE_KEYS_PUBLISH_BEFORE_SIGNING_SECONDS: '20' } });
    try {
      const { headers } = await fetch(`${server.issuer}/oauth/jwks`);
      expect(headers.get('cache-control')).toBe('public, max-age=20');
    } finally {
      await server.stop();
    }
  });
});

function kidsIn(jwks: unknown): Set<string | undefined> {
  return new Set((jwks as { keys: { kid: string }[] }).keys.map(({ kid }) => kid));
}
