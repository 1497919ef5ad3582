import type { ClientService } from './clients/service.ts';
import { demoClients, type DemoClient } from './demo/applications.ts';
import type { Sealer } from './platform/seal.ts';

/**
 * Registers the demonstration applications, or brings their addresses up to date. Their secrets are derived from the
 * sealing key, so that no start has to keep them.
 *
 * @returns the secrets by client id
 */
export async function registerDemoClients({
  clients,
  sealer,
  ports,
}: {
  clients: ClientService;
  sealer: Sealer;
  ports: { ledger: number; atlas: number };
}): Promise<Record<string, string>> {
  const by = { kind: 'system', name: 'demo' } as const;
  const secrets: Record<string, string> = {};
  for (const demo of demoClients(ports)) {
    const secret = sealer.deriveKey(`demo client ${demo.clientId}`).toString('base64url');
    secrets[demo.clientId] = secret;
    const existing = await clients.find(demo.clientId);
    // Another sealing key gives other secrets, and a secret cannot be changed into a given one: start over.
    const isStale = existing !== undefined && !clients.verifySecret(existing, secret);
    if (isStale) await clients.delete(demo.clientId, by);
    if (!existing || isStale) {
      await clients.create({ ...definitionOf(demo), clientId: demo.clientId, secret }, by);
    } else if (existing.redirectUris[0] !== demo.redirectUri || existing.consent !== 'never') {
      await clients.update(demo.clientId, definitionOf(demo), by);
    }
  }
  return secrets;
}

/** Both are our own, so nobody is asked for consent: the second one signs in without a question. */
function definitionOf(demo: DemoClient) {
  return {
    name: demo.name,
    firstParty: true,
    consent: 'never' as const,
    grantTypes: ['authorization_code', 'refresh_token'] as const,
    authMethod: 'client_secret_basic' as const,
    scopes: demo.scopes,
    redirectUris: [demo.redirectUri],
    postLogoutRedirectUris: [demo.postLogoutRedirectUri],
    clientUri: demo.clientUri,
    initiateLoginUri: demo.initiateLoginUri,
  };
}
