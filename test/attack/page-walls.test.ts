/** What keeps pages, cookies and answers apart from other sites: frames, scripts, CORS. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  registerApplication,
  registerPerson,
  signedIn,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson } from '../support/person.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

let server: TestServer;
let application: Application;
beforeAll(async () => {
  server = await startGatehouse();
  application = await registerApplication(server);
});
afterAll(() => server.stop());

describe('cookies and pages', () => {
  it('are out of reach for scripts, other sites and frames, and never sent on with a form', async () => {
    const { email, password } = await registerPerson(server);
    const person = createPerson(server.issuer);
    const seen: Response[] = [];
    const visit = async (url: string, init?: RequestInit): Promise<Response> => {
      const response = await person.request(url, init);
      seen.push(response.clone());
      return response;
    };
    const first = await visit(authorizationRequest(server, application).url);
    const page = new URL(first.headers.get('location') ?? '', server.issuer);
    await visit(page.href);
    const sent = await visit(`${page.pathname}/login${page.search}`, {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams({ identifier: email, password }),
    });
    await visit(sent.headers.get('location') ?? '');
    await visit(`${server.issuer}/oauth/logout`);
    await visit(`${server.issuer}/nowhere`);
    await visit(`${server.issuer}/`);

    for (const response of seen) {
      // 307 and 308 would send the password on (RFC 9700 §4.12).
      expect([200, 303, 404]).toContain(response.status);
      expect(response.headers.get('x-frame-options')).toBe('DENY');
      const policy = response.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toMatch(/unsafe-inline|unsafe-eval|\*/);
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('referrer-policy')).toBe('same-origin');
      expect(response.headers.get('cache-control')).toContain('no-store');
      expect(response.headers.get('x-powered-by')).toBeNull();
      expect(response.headers.get('server')).toBeNull();
    }
    const cookies = seen.flatMap((response) => response.headers.getSetCookie());
    const set = cookies.filter((line) => !/^[^=]+=;/.test(line));
    expect(set.map((line) => line.split('=')[0])).toEqual(
      expect.arrayContaining(['gatehouse-device', 'gatehouse-interaction', 'gatehouse-session']),
    );
    for (const line of set) {
      expect(line.toLowerCase()).toContain('httponly');
      expect(line.toLowerCase()).toMatch(/samesite=(lax|strict)/);
    }
    for (const line of set.filter((each) => !each.includes('.sig='))) {
      const name = line.split('=')[0];
      expect(set.some((each) => each.startsWith(`${name}.sig=`))).toBe(true);
    }
  });

  it('say nothing of the person where an error is shown', async () => {
    const { person, credentials } = await signedIn(server);
    const response = await person.request(
      authorizationRequest(server, application, { redirect_uri: 'https://evil.example/' }).url,
    );
    const html = await response.text();
    expect(html).not.toContain(credentials.email);
    expect(html).not.toContain(credentials.account.sub);
  });
});

describe('calls from a web page (CORS)', () => {
  let browser: Application;
  beforeAll(async () => {
    browser = await registerApplication(server, {
      kind: 'browser',
      redirectUris: ['https://spa.example/callback'],
    });
  });

  const call = (origin: string, client: Application): Promise<Response> =>
    fetch(`${server.issuer}/oauth/token`, {
      method: 'POST',
      headers: { ...FORM, origin },
      body: new URLSearchParams({
        client_id: client.clientId,
        grant_type: 'refresh_token',
        refresh_token: 'rt_x',
        ...(client.secret === undefined ? {} : { client_secret: client.secret }),
      }),
    });

  it('are answered for the origins that the client registered', async () => {
    const response = await call('https://spa.example', browser);
    expect(response.headers.get('access-control-allow-origin')).toBe('https://spa.example');
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    expect(response.headers.get('vary')?.toLowerCase()).toContain('origin');
  });

  it.each([
    'https://evil.example',
    'null',
    'https://spa.example.evil.example',
    'https://evilspa.example',
    'http://spa.example',
    'https://spa.example:8443',
    'https://SPA.example',
  ])('from %s get no answer', async (origin) => {
    expect((await call(origin, browser)).headers.get('access-control-allow-origin')).toBeNull();
    const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { origin, authorization: `Bearer ${(await tokensOf(browser)).access_token}` },
    });
    expect(userinfo.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('for a client with a secret get no answer from any origin', async () => {
    const response = await call('https://app.example', application);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('never reach a page of ours', async () => {
    for (const path of [
      '/',
      '/oauth/authorize',
      '/oauth/logout',
      '/interaction/x',
      '/nowhere',
      '/healthz/ready',
    ]) {
      for (const method of ['GET', 'OPTIONS']) {
        const response = await fetch(`${server.issuer}${path}`, {
          method,
          headers: { origin: 'https://spa.example', 'access-control-request-method': 'POST' },
          redirect: 'manual',
        });
        expect(response.headers.get('access-control-allow-origin')).toBeNull();
      }
    }
  });

  it('may read the metadata and the keys from anywhere: they are public', async () => {
    for (const path of ['/.well-known/openid-configuration', '/oauth/jwks']) {
      const response = await fetch(`${server.issuer}${path}`, { headers: { origin: 'https://any.example' } });
      expect(response.headers.get('access-control-allow-origin')).toBe('https://any.example');
      expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    }
  });

  async function tokensOf(client: Application) {
    const { email, password } = await registerPerson(server);
    const request = authorizationRequest(server, client, { scope: 'openid' });
    const code = codeOf(await authorize(createPerson(server.issuer), request, { email, password }));
    const response = await fetch(`${server.issuer}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        client_id: client.clientId,
        code,
        code_verifier: request.verifier,
        redirect_uri: client.redirectUri,
      }),
    });
    return (await response.json()) as { access_token: string };
  }
});
