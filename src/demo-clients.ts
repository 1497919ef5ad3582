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
    if (!existing) {
      await clients.create({ ...definitionOf(demo), clientId: demo.clientId, secret }, by);
    } else if (existing.redirectUris[0] !== demo.redirectUri) {
      await clients.update(demo.clientId, addressesOf(demo), by);
    }
  }
  return secrets;
}

function definitionOf(demo: DemoClient) {
  const isFirstParty = demo.name === 'Ledger';
  return {
    name: demo.name,
    kind: 'web' as const,
    firstParty: isFirstParty,
    consent: isFirstParty ? ('never' as const) : ('once' as const),
    grantTypes: ['authorization_code', 'refresh_token'] as const,
    authMethod: 'client_secret_basic' as const,
    scopes: demo.scopes,
    ...addressesOf(demo),
  };
}

function addressesOf(demo: DemoClient) {
  return {
    redirectUris: [demo.redirectUri],
    postLogoutRedirectUris: [demo.postLogoutRedirectUri],
    clientUri: demo.clientUri,
    initiateLoginUri: demo.initiateLoginUri,
  };
}
