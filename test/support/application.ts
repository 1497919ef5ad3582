/**
 * A relying party by hand: for races and attacks, which need requests that no well-kept library would send. That a
 * library of others works is shown under e2e/.
 */
import { createHash } from 'node:crypto';

import { randomToken } from '../../src/platform/ids.ts';
import type { NewClient } from '../../src/clients/service.ts';
import { createPerson, type Person, type Visited } from './person.ts';
import type { TestServer } from './gatehouse.ts';

export const OPERATOR = { kind: 'operator', name: 'test' } as const;
const PASSWORD = 'seven quiet lanterns drift';
const REDIRECT_URI = 'https://app.example/callback';

export interface Application {
  clientId: string;
  secret: string | undefined;
  redirectUri: string;
}

export interface Tokens {
  access_token: string;
  refresh_token?: string;
  id_token?: string;
  scope?: string;
  expires_in: number;
  token_type: string;
}

export async function registerApplication(
  server: Pick<TestServer, 'subjects'>,
  input: Partial<NewClient> = {},
): Promise<Application> {
  const { client, secret } = await server.subjects.clients.create(
    {
      name: 'Application',
      redirectUris: [REDIRECT_URI],
      grantTypes: ['authorization_code', 'refresh_token'],
      scopes: ['openid', 'profile', 'email', 'roles', 'offline_access'],
      firstParty: true,
      consent: 'never',
      ...input,
    },
    OPERATOR,
  );
  return { clientId: client.clientId, secret, redirectUri: client.redirectUris[0] ?? '' };
}

export async function registerPerson(
  server: Pick<TestServer, 'subjects'>,
  {
    email = `${randomToken(6)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, 'x')}@example.test`,
    password = PASSWORD,
  } = {},
) {
  const account = await server.subjects.accounts.create(
    { email, password, emailVerified: true, name: 'Ada' },
    OPERATOR,
  );
  return { account, email, password };
}

export interface AuthorizationRequest {
  url: string;
  verifier: string;
  state: string;
  nonce: string;
}

export function authorizationRequest(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  parameters: Record<string, string | undefined> = {},
): AuthorizationRequest {
  const verifier = randomToken();
  const state = randomToken(12);
  const nonce = randomToken(12);
  const all: Record<string, string | undefined> = {
    client_id: application.clientId,
    redirect_uri: application.redirectUri,
    response_type: 'code',
    scope: 'openid offline_access',
    state,
    nonce,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...parameters,
  };
  const url = new URL(`${server.issuer}/oauth/authorize`);
  for (const [name, value] of Object.entries(all)) if (value !== undefined) url.searchParams.set(name, value);
  return { url: url.href, verifier, state, nonce };
}

/** From the authorization request to the callback, with the password typed where it is asked for. */
export async function authorize(
  person: Person,
  request: AuthorizationRequest,
  credentials?: { email: string; password: string },
): Promise<Visited> {
  let page = await person.open(request.url);
  if (!page.isAway && credentials && page.html.includes('name="password"')) {
    page = await person.submit(
      page,
      { identifier: credentials.email, password: credentials.password },
      '/login',
    );
  }
  return page;
}

/** @throws Error with the page where the sign-in did not come back to the application */
export function codeOf(visited: Visited): string {
  const code = visited.url.searchParams.get('code');
  if (!visited.isAway || !code) {
    throw new Error(`no code: ${visited.status} ${visited.url.href}\n${visited.html.slice(0, 1500)}`);
  }
  return code;
}

export function tokenRequest(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  parameters: Record<string, string>,
  init: RequestInit = {},
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('content-type', 'application/x-www-form-urlencoded');
  if (application.secret !== undefined) headers.set('authorization', basicOf(application));
  const body = new URLSearchParams({
    ...(application.secret === undefined ? { client_id: application.clientId } : {}),
    ...parameters,
  });
  return fetch(`${server.issuer}/oauth/token`, { method: 'POST', ...init, headers, body });
}

export function redeem(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  { code, verifier }: { code: string; verifier: string },
  init: RequestInit = {},
): Promise<Response> {
  const { redirectUri } = application;
  return tokenRequest(
    server,
    application,
    { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri },
    init,
  );
}

export function refresh(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  refreshToken: string,
  init: RequestInit = {},
): Promise<Response> {
  return tokenRequest(
    server,
    application,
    { grant_type: 'refresh_token', refresh_token: refreshToken },
    init,
  );
}

export async function introspect(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  token: string,
): Promise<{ active: boolean; [claim: string]: unknown }> {
  const response = await fetch(`${server.issuer}/oauth/introspect`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: basicOf(application) },
    body: new URLSearchParams({ token }),
  });
  if (response.status !== 200)
    throw new Error(`introspection answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as { active: boolean };
}

/** A person with a session, an application, and the tokens of one complete sign-in. */
export async function signedIn(
  server: TestServer,
  input: Partial<NewClient> = {},
  scope = 'openid offline_access',
) {
  const application = await registerApplication(server, input);
  const credentials = await registerPerson(server);
  const person = createPerson(server.issuer);
  const request = authorizationRequest(server, application, { scope });
  const code = codeOf(await authorize(person, request, credentials));
  const response = await redeem(server, application, { code, verifier: request.verifier });
  if (response.status !== 200)
    throw new Error(`redemption answered ${response.status}: ${await response.text()}`);
  const tokens = (await response.json()) as Tokens;
  return { application, credentials, person, tokens, code, verifier: request.verifier };
}

export function basicOf({ clientId, secret = '' }: Application): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`).toString('base64')}`;
}
