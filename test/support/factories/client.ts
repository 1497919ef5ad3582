import type { Client } from '../../../src/clients/client.ts';
import { defineClient, type DefinitionInput } from '../../../src/clients/definition.ts';
import type { ClientService, NewClient } from '../../../src/clients/service.ts';

let counter = 0;

/** Input for a confidential web client, or whatever the overrides make of it. */
export function clientInput(overrides: Partial<NewClient> = {}): NewClient {
  counter += 1;
  return {
    name: `Client ${counter}`,
    redirectUris: [`https://app${counter}.example/callback`],
    ...overrides,
  };
}

/** A client that was never stored. */
export function buildClient(
  overrides: Partial<DefinitionInput> & Partial<Pick<Client, 'clientId' | 'secrets'>> = {},
): Client {
  const { clientId = `client-${counter + 1}`, secrets = [], ...definition } = overrides;
  const createdAt = new Date('2026-01-01T00:00:00Z');
  return { clientId, secrets, createdAt, updatedAt: createdAt, ...defineClient(clientInput(definition)) };
}

/** A stored client and its secret. */
export async function createClient(
  clients: ClientService,
  overrides: Partial<NewClient> = {},
): Promise<{ client: Client; secret?: string }> {
  return clients.create(clientInput(overrides), { kind: 'system', name: 'test' });
}
