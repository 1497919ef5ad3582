/** A person at an application, an API behind it, and what that API's service may get in exchange for its tokens. */
import * as client from 'openid-client';

import type { NewApi } from '../../src/apis/service.ts';
import { TOKEN_EXCHANGE } from '../../src/clients/client.ts';
import type { NewClient } from '../../src/clients/service.ts';
import { randomToken } from '../../src/platform/ids.ts';
import {
  ask,
  redeemFor,
  registerApi,
  registerRole,
  registerVisitor,
  tokensOf,
  type RegisteredApi,
  type Visitor,
} from './apis.ts';
import { OPERATOR, registerApplication, type Application, type Tokens } from './application.ts';
import type { TestServer } from './gatehouse.ts';

export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';

export interface Scene {
  /** The application that people sign in to. */
  front: Application;
  /** The API that it calls, and the client that stands for it and exchanges tokens. */
  ledger: RegisteredApi;
  service: Application;
  /** The API behind it. */
  vault: RegisteredApi;
}

/** The service may exchange the front's tokens for the vault, in both modes, but for what is given. */
export async function setScene(
  server: TestServer,
  {
    ledger: ledgerInput = {},
    vault: vaultInput = {},
    service: serviceInput = {},
  }: { ledger?: Partial<NewApi>; vault?: Partial<NewApi>; service?: Partial<NewClient> } = {},
): Promise<Scene> {
  const front = await registerApplication(server);
  const vault = await registerApi(server, vaultInput);
  const ledgerId = `https://ledger-${randomToken(6).toLowerCase()}.example`;
  const service = await registerApplication(server, {
    name: 'Ledger service',
    kind: 'machine',
    redirectUris: [],
    grantTypes: [TOKEN_EXCHANGE, 'client_credentials'],
    scopes: [],
    firstParty: false,
    consent: 'once',
    tokenExchangeAudiences: [vault.identifier, ledgerId],
    tokenExchangeSubjectClients: [front.clientId],
    tokenExchangeModes: ['impersonation', 'delegation'],
    ...serviceInput,
  });
  const ledger = await registerApi(server, {
    identifier: ledgerId,
    clientId: service.clientId,
    ...ledgerInput,
  });
  await server.subjects.apis.permitClient(
    { clientId: service.clientId, api: vault.identifier, permissions: ['read', 'write'] },
    OPERATOR,
  );
  return { front, ledger, service, vault };
}

export interface Caller extends Visitor {
  tokens: Tokens;
}

/** A person who may read and write at the ledger, and read and audit at the vault, signed in at the front. */
export async function signInAtFront(
  server: TestServer,
  { front, ledger, vault }: Scene,
  { scope = 'openid read' }: { scope?: string } = {},
): Promise<Caller> {
  const roles = [
    await registerRole(server, ledger, ['read', 'write']),
    await registerRole(server, vault, ['read', 'audit']),
  ];
  const visitor = await registerVisitor(server, { roles, application: front });
  const asked = await ask(server, visitor, { resource: ledger.identifier, scope });
  const tokens = await tokensOf(await redeemFor(server, front, asked, ledger.identifier));
  return { ...visitor, tokens };
}

/** The same client, as a library of others sees it. */
export function configurationOf(
  server: TestServer,
  { clientId, secret = '' }: Application,
): Promise<client.Configuration> {
  return client.discovery(new URL(server.issuer), clientId, undefined, client.ClientSecretBasic(secret), {
    execute: [client.allowInsecureRequests],
  });
}

/** Parameters of a good request for that API. */
export function exchangeOf(subjectToken: string, target: string): Record<string, string> {
  return {
    grant_type: TOKEN_EXCHANGE,
    subject_token: subjectToken,
    subject_token_type: ACCESS_TOKEN,
    audience: target,
  };
}
