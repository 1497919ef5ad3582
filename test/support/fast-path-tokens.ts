/** Access tokens of every kind and in every state, for the paths that have to tell them apart. */
import { TOKEN_EXCHANGE } from '../../src/clients/client.ts';
import {
  ask,
  machineToken,
  redeemFor,
  registerApi,
  registerRole,
  registerVisitor,
  tokensOf,
  type RegisteredApi,
} from './apis.ts';
import {
  basicOf,
  codeOf,
  OPERATOR,
  registerApplication,
  tokenRequest,
  type Application,
} from './application.ts';
import { makeCertificate } from './certificates.ts';
import { proofKey, proven } from './dpop.ts';
import { ACCESS_TOKEN, exchangeOf, setScene, signInAtFront } from './exchange.ts';
import type { TestServer } from './gatehouse.ts';

const CERTIFICATE = 'x-client-certificate';
/** So that certificates can be shown. */
export const BEHIND_PROXY = {
  GATEHOUSE_MTLS_HEADER: CERTIFICATE,
  GATEHOUSE_MTLS_VERIFIED_HEADER: 'x-client-verify',
  GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1',
};

export interface Cast {
  ledger: RegisteredApi;
  opaque: RegisteredApi;
  machine: Application;
  application: Application;
}

export async function tokensOfAllKinds(server: TestServer, cast: Cast): Promise<string[]> {
  const { ledger, opaque, machine, application } = cast;
  for (const { identifier } of [ledger, opaque]) await permit(server, machine, identifier);
  const role = await registerRole(server, opaque, ['read', 'write']);
  const ofPerson = async (scope: string, resource?: string, init: RequestInit = {}): Promise<string[]> => {
    const visitor = await registerVisitor(server, { roles: [role], application });
    const { visited, verifier } = await ask(server, visitor, {
      scope,
      ...(resource === undefined ? {} : { resource }),
    });
    const form = {
      grant_type: 'authorization_code',
      code: codeOf(visited),
      code_verifier: verifier,
      redirect_uri: application.redirectUri,
      ...(resource === undefined ? {} : { resource }),
    };
    const tokens = await tokensOf(await tokenRequest(server, application, form, init));
    return [tokens.access_token, tokens.refresh_token ?? ''];
  };
  const key = await proofKey();
  return [
    await machineTokenFor(server, machine),
    await machineTokenFor(server, machine, ledger.identifier),
    await machineTokenFor(server, machine, opaque.identifier),
    ...(await ofPerson('openid profile')),
    ...(await ofPerson('openid offline_access')),
    ...(await ofPerson('openid read', opaque.identifier)),
    ...(await ofPerson('openid read offline_access', opaque.identifier)),
    ...(await ofPerson('openid', undefined, await proven(server.issuer, key))),
    ...(await ofPerson('openid read', opaque.identifier, await proven(server.issuer, key))),
    ...(await endedOnes(server, cast, ofPerson)),
    ...(await ofOtherClients(server, opaque)),
    ...(await exchanged(server)),
  ].filter((token) => token !== '');
}

/** The shortest life that there is: 30 seconds. */
export async function briefToken(server: TestServer, machine: Application): Promise<string> {
  const { identifier } = await registerApi(server, {
    accessTokenFormat: 'opaque',
    accessTokenTtlSeconds: 30,
  });
  await permit(server, machine, identifier);
  return machineTokenFor(server, machine, identifier);
}

/** Revoked, signed out, disabled, without their API or client. */
async function endedOnes(
  server: TestServer,
  { opaque, machine, application }: Cast,
  ofPerson: (scope: string) => Promise<string[]>,
): Promise<string[]> {
  const [revoked = '', refresh = ''] = await ofPerson('openid offline_access');
  await revoke(server, application, revoked);
  const [dead = '', deadRefresh = ''] = await ofPerson('openid offline_access');
  await revoke(server, application, deadRefresh);

  const tokenOf = async (client: Application): Promise<{ token: string; sub: string; accountId: string }> => {
    const visitor = await registerVisitor(server, { application: client });
    const asked = await ask(server, visitor, { scope: 'openid' });
    const { access_token: token } = await tokensOf(await redeemFor(server, client, asked));
    const { sub, id: accountId } = visitor.credentials.account;
    return { token, sub, accountId };
  };
  const disabled = await tokenOf(application);
  await server.subjects.accounts.disable(disabled.accountId, OPERATOR);
  const signedOut = await registerVisitor(server, { application });
  const asked = await ask(server, signedOut, { scope: 'openid' });
  const { access_token: ofSession } = await tokensOf(await redeemFor(server, application, asked));
  const page = await signedOut.person.open(`${server.issuer}/oauth/logout`);
  await signedOut.person.submit(page, { logout: 'yes' }, '/logout/confirm');

  const gone = await registerApplication(server);
  const ofGone = await tokenOf(gone);
  await server.subjects.clients.delete(gone.clientId, OPERATOR);

  const brief = await registerApi(server, {
    accessTokenFormat: 'opaque',
    accessTokenTtlSeconds: 60,
    clientId: opaque.standing.clientId,
  });
  await permit(server, machine, brief.identifier);
  const withoutApi = await machineTokenFor(server, machine, brief.identifier);
  await server.subjects.apis.delete(brief.identifier, OPERATOR);
  return [revoked, refresh, dead, deadRefresh, disabled.token, ofSession, ofGone.token, withoutApi];
}

/** For whom a person has another name, and who binds tokens to its certificate. */
async function ofOtherClients(server: TestServer, opaque: RegisteredApi): Promise<string[]> {
  const role = await registerRole(server, opaque, ['read']);
  const pairwise = await registerApplication(server, { subjectType: 'pairwise' });
  const bound = await registerApplication(server, { tlsClientCertificateBoundAccessTokens: true });
  const shown = { [CERTIFICATE]: encodeURIComponent(makeCertificate().pem), 'x-client-verify': 'SUCCESS' };
  const tokens: string[] = [];
  for (const application of [pairwise, bound]) {
    const visitor = await registerVisitor(server, { roles: [role], application });
    const { visited, verifier } = await ask(server, visitor, {
      scope: 'openid read',
      resource: opaque.identifier,
    });
    const form = {
      grant_type: 'authorization_code',
      code: codeOf(visited),
      code_verifier: verifier,
      redirect_uri: application.redirectUri,
      resource: opaque.identifier,
    };
    const answer = await tokenRequest(server, application, form, { headers: shown });
    tokens.push((await tokensOf(answer)).access_token);
  }
  return tokens;
}

/** Got for another, with and without a word of who acts. */
async function exchanged(server: TestServer): Promise<string[]> {
  const scene = await setScene(server, { vault: { accessTokenFormat: 'opaque' } });
  const { tokens } = await signInAtFront(server, scene);
  const { service, vault } = scene;
  const actor = await machineTokenFor(server, service);
  const tokensFor: string[] = [];
  for (const acting of [{}, { actor_token: actor, actor_token_type: ACCESS_TOKEN }]) {
    const form = { ...exchangeOf(tokens.access_token, vault.identifier), ...acting };
    const answer = await tokenRequest(server, service, { ...form, grant_type: TOKEN_EXCHANGE });
    tokensFor.push((await tokensOf(answer)).access_token);
  }
  return [...tokensFor, actor];
}

async function permit(server: TestServer, { clientId }: Application, api: string): Promise<void> {
  await server.subjects.apis.permitClient({ clientId, api, permissions: ['read'] }, OPERATOR);
}

async function machineTokenFor(server: TestServer, machine: Application, api?: string): Promise<string> {
  const answer = await machineToken(server, machine, api === undefined ? {} : { resource: api });
  return (await tokensOf(answer)).access_token;
}

async function revoke({ issuer }: TestServer, application: Application, token: string): Promise<void> {
  const { status } = await fetch(`${issuer}/oauth/revoke`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URLSearchParams({ token }),
  });
  if (status !== 200) throw new Error(`revocation answered ${status}`);
}
