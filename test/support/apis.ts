/** An API, people and machines that may do something there, and requests that name it. */
import type { Api } from '../../src/apis/api.ts';
import type { NewApi } from '../../src/apis/service.ts';
import type { NewClient } from '../../src/clients/service.ts';
import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  registerApplication,
  registerPerson,
  tokenRequest,
  type Application,
  type Tokens,
} from './application.ts';
import type { TestServer } from './gatehouse.ts';
import { createPerson, type Person, type Visited } from './person.ts';

type Subjects = Pick<TestServer, 'subjects'>;

const PERMISSIONS = [
  { name: 'read', description: 'See your invoices' },
  { name: 'write', description: 'Change your invoices' },
  { name: 'audit', description: 'See who did what' },
];

export function registerMachine(server: Subjects, input: Partial<NewClient> = {}): Promise<Application> {
  return registerApplication(server, {
    name: 'Machine',
    kind: 'machine',
    redirectUris: [],
    grantTypes: ['client_credentials'],
    scopes: [],
    firstParty: false,
    consent: 'once',
    ...input,
  });
}

export interface RegisteredApi {
  api: Api;
  identifier: string;
  /** The client that stands for it. */
  standing: Application;
}

export async function registerApi(server: Subjects, input: Partial<NewApi> = {}): Promise<RegisteredApi> {
  const standing = await registerMachine(server);
  const identifier = `https://ledger-${randomToken(6).toLowerCase()}.example`;
  const api = await server.subjects.apis.create(
    {
      identifier,
      name: 'Ledger',
      permissions: PERMISSIONS,
      clientId: standing.clientId,
      allowOfflineAccess: true,
      ...input,
    },
    OPERATOR,
  );
  return { api, identifier: api.identifier, standing };
}

/** A new role with those permissions. */
export async function registerRole(
  server: Subjects,
  { identifier }: Pick<RegisteredApi, 'identifier'>,
  permissions: string[],
): Promise<string> {
  const { rbac } = server.subjects;
  const { name } = await rbac.createRole({ name: `role-${randomToken(6).toLowerCase()}` }, OPERATOR);
  await rbac.permit({ role: name, api: identifier, permissions }, OPERATOR);
  return name;
}

export interface Visitor {
  application: Application;
  person: Person;
  credentials: Awaited<ReturnType<typeof registerPerson>>;
}

/** A person with those roles, in a browser, before an application. */
export async function registerVisitor(
  server: TestServer,
  { roles = [], application }: { roles?: string[]; application?: Application } = {},
): Promise<Visitor> {
  const credentials = await registerPerson(server);
  for (const role of roles) await server.subjects.rbac.grantRole(credentials.account.id, role, OPERATOR);
  return {
    application: application ?? (await registerApplication(server)),
    person: createPerson(server.issuer),
    credentials,
  };
}

export interface Asked {
  visited: Visited;
  verifier: string;
}

/** From the authorization request to the callback, or the page that stands in the way. */
export async function ask(
  server: TestServer,
  { application, person, credentials }: Visitor,
  { resource, scope }: { resource?: string | string[]; scope?: string | undefined },
): Promise<Asked> {
  const request = authorizationRequest(server, application, { scope });
  const url = new URL(request.url);
  if (!scope?.split(' ').includes('openid')) url.searchParams.delete('nonce');
  for (const identifier of [resource ?? []].flat()) url.searchParams.append('resource', identifier);
  const visited = await authorize(person, { ...request, url: url.href }, credentials);
  return { visited, verifier: request.verifier };
}

/** Redeems the code for one API, or for userinfo. */
export function redeemFor(
  server: TestServer,
  application: Application,
  { visited, verifier }: Asked,
  resource?: string,
): Promise<Response> {
  return tokenRequest(server, application, {
    grant_type: 'authorization_code',
    code: codeOf(visited),
    code_verifier: verifier,
    redirect_uri: application.redirectUri,
    ...(resource === undefined ? {} : { resource }),
  });
}

export function refreshFor(
  server: Pick<TestServer, 'issuer'>,
  application: Application,
  refreshToken: string,
  parameters: Record<string, string> = {},
): Promise<Response> {
  return tokenRequest(server, application, {
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    ...parameters,
  });
}

export function machineToken(
  server: TestServer,
  machine: Application,
  parameters: Record<string, string>,
): Promise<Response> {
  return tokenRequest(server, machine, { grant_type: 'client_credentials', ...parameters });
}

/** The tokens of an answer. @throws Error with the answer where it is a refusal */
export async function tokensOf(response: Response): Promise<Tokens> {
  const text = await response.text();
  if (response.status !== 200) throw new Error(`no tokens: ${response.status} ${text}`);
  return JSON.parse(text) as Tokens;
}

/** The status and the error of an answer. */
export async function refusalOf(response: Response): Promise<[number, unknown]> {
  const text = await response.text();
  return [response.status, (JSON.parse(text || '{}') as { error?: string }).error];
}
