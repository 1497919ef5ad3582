/**
 * One oidc-provider instance for one set of keys, with what its configuration cannot express installed on it: clients
 * from our own cache, secrets compared as hashes, replay marks by compare-and-set, ids that say what they are, and the
 * record before every response. Built anew for each change of keys (issuer.ts).
 */
import { decodeJwt } from 'jose';
import { type ClientMetadata, type Configuration, Provider } from 'oidc-provider';

import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import { toMetadata } from '../clients/metadata.ts';
import type { ClientService } from '../clients/service.ts';
import { digest, randomToken } from '../platform/ids.ts';
import { type AuthorizationDetails, allowDetailsTypes } from './authorization-details.ts';
import { keepKeys } from './client-keys.ts';
import type { Ciba } from './ciba.ts';
import type { DeviceEntry } from './device-entry.ts';
import type { DpopRules } from './dpop.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { EventRecorder } from './events.ts';
import { announceNoEmptyList, rememberAnswers } from './messages.ts';
import type { MutualTls } from './mutual-tls.ts';
import { keepStrangersHere } from './open-redirects.ts';
import { type RecordKeeping, recordBeforeResponse } from './record-before-response.ts';
import type { RefreshTokens } from './refresh-tokens.ts';
import { hideUnreadableRequests } from './request-objects.ts';
import type { Resources } from './resources.ts';
import { applyRoleClaims } from './role-claims.ts';
import { putSidIntoIdTokens } from './sign-out.ts';
import type { OidcStore } from './store/port.ts';
import type { StructuredTokens } from './structured-tokens.ts';
import type { TokenExchange } from './token-exchange/token-exchange.ts';
import { prefixTokenIds } from './token-ids.ts';
import { tellOnPage } from './unreadable-answers.ts';
import { refuseUnallowedGrants } from './unallowed-grants.ts';

export interface ProviderDependencies {
  issuer: string;
  configuration: Configuration;
  clients: ClientService;
  clientOf: ClientIndex;
  resources: Resources;
  authorizationDetails: AuthorizationDetails;
  refreshTokens: RefreshTokens;
  dpop: DpopRules;
  mutualTls: MutualTls;
  structuredTokens: StructuredTokens;
  tokenExchange: TokenExchange;
  deviceEntry: DeviceEntry;
  ciba: Ciba;
  store: OidcStore;
  events: EventRecorder;
  keeping: RecordKeeping;
  /** Life of a pushed authorization request; a minute at most. */
  parSeconds: number;
}

/** From the library's client object to ours. Filled as clients are found. */
export type ClientIndex = ((providerClient: object) => Client | undefined) & {
  remember: (providerClient: object, client: Client) => void;
};

export function createClientIndex(): ClientIndex {
  const byProviderClient = new WeakMap<object, Client>();
  return Object.assign((providerClient: object) => byProviderClient.get(providerClient), {
    remember: (providerClient: object, client: Client) => {
      byProviderClient.set(providerClient, client);
    },
  });
}

export function createProvider(dependencies: ProviderDependencies): Provider {
  const { issuer, configuration, clients, clientOf, store, events, keeping } = dependencies;
  const provider = new Provider(issuer, configuration);
  // The host says which scheme and address it was asked by (http/origin.ts); its word arrives as forwarded headers.
  provider.proxy = true;

  findClientsBy(provider, clients, clientOf);
  markReplaysOnce(provider, store);
  putSidIntoIdTokens(provider, clientOf);
  prefixTokenIds(provider);
  limitPushedRequests(provider, dependencies.parSeconds);
  applyRoleClaims(provider, clientOf);
  rememberAnswers(provider, configuration.jwks?.keys ?? []);
  announceNoEmptyList(provider);
  dependencies.authorizationDetails.checkBeforeSpending(provider);
  dependencies.resources.checkBeforeSpending(provider);
  dependencies.resources.forgetFormer(provider);
  dependencies.dpop.bind(provider);
  dependencies.mutualTls.bind(provider);
  dependencies.refreshTokens.bind(provider);
  dependencies.structuredTokens.letThrough(provider);
  hideUnreadableRequests(provider);
  dependencies.tokenExchange.install(provider);
  refuseUnallowedGrants(provider);
  events.bind(provider);
  keepStrangersHere(provider, clientOf);
  keeping.signOut.bind(provider);
  provider.use(recordBeforeResponse(keeping) as Parameters<Provider['use']>[0]);
  if (configuration.renderError) tellOnPage(provider, configuration.renderError);
  dependencies.deviceEntry.install(provider);
  dependencies.ciba.install(provider);
  return provider;
}

/**
 * The library asks its adapter for the client on every request and keeps a hundred. Ours are in memory already
 * (clients/), so a provider client is made once for each version of a client.
 */
function findClientsBy(provider: Provider, clients: ClientService, clientOf: ClientIndex): void {
  const made = new WeakMap<Client, InstanceType<typeof provider.Client>>();
  provider.Client.find = async (id: string) => {
    // A sign-out asks for every client of the session, and waits for the host of none.
    const isSignOut = Provider.ctx?.oidc?.route === 'end_session_confirm';
    const client =
      typeof id === 'string' && id !== ''
        ? await orTemporarilyUnavailable(() => (isSignOut ? clients.findKnown(id) : clients.find(id)))
        : undefined;
    if (!client) return undefined;
    let providerClient = made.get(client);
    if (!providerClient) {
      const ProviderClient = provider.Client as unknown as new (
        metadata: ClientMetadata,
      ) => typeof providerClient;
      providerClient = new ProviderClient(toMetadata(client)) as InstanceType<typeof provider.Client>;
      // The library takes an empty list for no limit at all; this one holds the empty scope, which nobody can ask for.
      if (client.scopes.length === 0) Object.assign(providerClient, { scope: ' ' });
      keepKeys(providerClient);
      allowDetailsTypes(providerClient, client);
      made.set(client, providerClient);
      clientOf.remember(providerClient, client);
    }
    return providerClient;
  };
  provider.Client.prototype.compareClientSecret = function compareHashed(presented: string): boolean {
    const client = clientOf(this);
    return client !== undefined && clients.verifySecret(client, presented);
  };
}

/** The library knows one life for all pushed requests, a minute, and has no setting for it. */
function limitPushedRequests(provider: Provider, seconds: number): void {
  const prototype = provider.PushedAuthorizationRequest.prototype as {
    save: (ttl: number) => Promise<string>;
  };
  const { save } = prototype;
  prototype.save = function saveLimited(this: typeof prototype, ttl) {
    return save.call(this, Math.min(ttl, seconds));
  };
  provider.on('pushed_authorization_request.success', (ctx) => {
    const body = ctx.body as { expires_in: number };
    body.expires_in = Math.min(body.expires_in, seconds);
  });
}

/**
 * A `jti` counts once (RFC 7523 §3, RFC 9449 §11.1): marked in the store, confirmed by PostgreSQL with the record of
 * the request, and taken back where that record could not be written, so that the client's retry is not a replay.
 */
function markReplaysOnce(provider: Provider, store: OidcStore): void {
  const model = provider.ReplayDetection as unknown as {
    unique: (iss: string, jti: string, exp: number) => Promise<boolean>;
  };
  model.unique = async (iss, jti, exp) => {
    const key = digest('replay', iss, jti);
    const spender = randomToken(16);
    const ttlSeconds = Math.max(1, Math.ceil(exp - Date.now() / 1000));
    const unit = currentUnitOfWork();
    // Before the mark: a store that falls silent may set it after we have given up.
    unit?.onRollback(() => store.unmark(key, spender));
    if (!(await orTemporarilyUnavailable(() => store.markOnce(key, spender, ttlSeconds)))) return false;
    unit?.spend({
      kind: isClientAssertion(jti) ? 'client_assertion' : 'dpop_proof',
      digest: key,
      expiresAt: new Date(exp * 1000),
    });
    return true;
  };
}

/** Both kinds of proof are marked under the client's id; the request tells which one this is. */
function isClientAssertion(jti: string): boolean {
  const assertion = Provider.ctx?.oidc.params?.['client_assertion'];
  return typeof assertion === 'string' && decodeJwt(assertion).jti === jti;
}
