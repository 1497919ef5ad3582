/** A client that asks people without their browser, by hand: for what no well-kept library would send. */
import type { NewClient } from '../../src/clients/service.ts';
import { type Application, authorize, basicOf, OPERATOR, tokenRequest } from './application.ts';
import type { TestServer } from './gatehouse.ts';
import type { Person, Visited } from './person.ts';

export const CIBA = 'urn:openid:params:grant-type:ciba';

export interface Asking {
  auth_req_id: string;
  expires_in: number;
  interval: number;
}

export async function registerDesk(
  server: Pick<TestServer, 'subjects'>,
  input: Partial<NewClient> = {},
): Promise<Application> {
  const { client, secret } = await server.subjects.clients.create(
    { name: 'Service desk', grantTypes: [CIBA, 'refresh_token'], ...input },
    OPERATOR,
  );
  return { clientId: client.clientId, secret, redirectUri: '' };
}

/** The backchannel authentication request, whatever it is answered with. */
export function ask(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  parameters: Record<string, string>,
): Promise<Response> {
  return fetch(`${server.issuer}/oauth/backchannel`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(application.secret === undefined ? {} : { authorization: basicOf(application) }),
    },
    body: new URLSearchParams({ scope: 'openid', ...parameters }),
  });
}

/** @throws Error where it is refused */
export async function asked(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  parameters: Record<string, string>,
): Promise<Asking> {
  const response = await ask(server, application, parameters);
  if (response.status !== 200) throw new Error(`refused: ${response.status} ${await response.text()}`);
  return (await response.json()) as Asking;
}

export function poll(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  authReqId: string,
  parameters: Record<string, string> = {},
): Promise<Response> {
  return tokenRequest(server, application, { grant_type: CIBA, auth_req_id: authReqId, ...parameters });
}

export async function errorOf(response: Response): Promise<string | undefined> {
  return ((await response.json()) as { error?: string }).error;
}

/** The page of requests, with the password typed where it is asked for. */
export function openApprovals(
  server: Pick<TestServer, 'issuer'>,
  person: Person,
  credentials?: { email: string; password: string },
): Promise<Visited> {
  return authorize(
    person,
    { url: `${server.issuer}/account/approvals`, verifier: '', state: '', nonce: '' },
    credentials,
  );
}

/** Answers the first request on the page. */
export function answer(person: Person, page: Visited, decision: 'approve' | 'deny'): Promise<Visited> {
  return person.submit(page, { decision }, '/account/approvals/');
}
