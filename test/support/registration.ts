/** Applications that register themselves, as programs do it: by HTTP, with a token or without one. */
import type { NewRegistrationToken } from '../../src/clients/registration/tokens.ts';
import { OPERATOR } from './application.ts';
import type { TestServer } from './gatehouse.ts';

export const POLICY = {
  redirectHosts: ['app.example', '*.corp.example', 'loopback'],
  grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
  scopes: ['openid', 'profile', 'email', 'offline_access'],
  authMethods: ['client_secret_basic', 'private_key_jwt', 'none'],
  kinds: ['web', 'native', 'browser', 'machine'],
} satisfies NewRegistrationToken['policy'];

export const METADATA = {
  client_name: 'Wiki',
  redirect_uris: ['https://app.example/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'client_secret_basic',
};

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

export async function initialToken(
  server: Pick<TestServer, 'subjects'>,
  input: Partial<NewRegistrationToken> = {},
): Promise<{ token: string; id: string }> {
  const { token, stored } = await server.subjects.registrationTokens.create(
    { name: 'Tests', policy: POLICY, ...input },
    OPERATOR,
  );
  return { token, id: stored.id };
}

export async function send(
  url: string,
  { method = 'POST', token, body }: { method?: string; token?: string | undefined; body?: unknown } = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
  };
}

export function register(
  server: Pick<TestServer, 'issuer'>,
  token: string | undefined,
  body: unknown = METADATA,
): Promise<Answer> {
  return send(`${server.issuer}/oauth/register`, { token, body });
}

/** The payloads of the audit events of that type, the newest last. */
export async function recorded(
  server: Pick<TestServer, 'state'>,
  type: string,
): Promise<{ client_id: string | null; payload: Record<string, unknown> }[]> {
  const { rows } = await server.state.db.query<{
    client_id: string | null;
    payload: Record<string, unknown>;
  }>('select client_id, payload from audit_events where type = $1 order by at, id', [type]);
  return rows;
}
