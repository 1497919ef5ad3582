/**
 * The one client that nobody registered: the pages of a person's own account (account/) sign people in by the ordinary
 * authorization request, so that every rule of a sign-in holds for them too. It never redeems its codes, has no secret,
 * and so nobody can.
 */
import type { Client } from './client.ts';

export const ACCOUNT_CLIENT_ID = 'gatehouse-account';

/** @param issuer without a trailing slash */
function accountClient(issuer: string): Client {
  const known = new Date(0);
  return {
    clientId: ACCOUNT_CLIENT_ID,
    name: 'your account',
    kind: 'web',
    firstParty: true,
    consent: 'never',
    // What it asks for is only ever that somebody signs in.
    scopes: ['openid'],
    grantTypes: ['authorization_code'],
    redirectUris: [`${issuer}/account/callback`],
    postLogoutRedirectUris: [],
    authMethod: 'client_secret_basic',
    secrets: [],
    requirePkce: false,
    requirePushedAuthorizationRequests: false,
    dpopBoundAccessTokens: false,
    requireMfa: false,
    idTokenAlg: 'RS256',
    rolesClaim: { name: 'roles' },
    claimsInIdToken: false,
    contacts: [],
    allowedOrigins: [],
    initiateLoginUri: `${issuer}/account`,
    backchannelLogoutSessionRequired: false,
    frontchannelLogoutSessionRequired: false,
    createdAt: known,
    updatedAt: known,
  };
}

/** The clients, and our own among them. */
export function withAccountClient<Service extends Record<'find' | 'findKnown', Find>>(
  clients: Service,
  issuer: string,
): Service {
  const own = accountClient(issuer);
  const orOwn =
    (find: Find): Find =>
    async (id) =>
      id === own.clientId ? own : find(id);
  return { ...clients, find: orOwn(clients.find), findKnown: orOwn(clients.findKnown) };
}

type Find = (id: string) => Promise<Client | undefined>;
