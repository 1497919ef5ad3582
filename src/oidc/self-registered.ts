import type { Client } from '../clients/client.ts';

/**
 * Which APIs a client may ask tokens for at all, before anybody is asked: clients that no operator registered get to
 * those that the operator opened to them.
 *
 * @param opened identifiers; `*` is all of them
 */
export function createMayReach({
  opened,
  clientOf,
}: {
  opened: readonly string[];
  clientOf: (providerClient: object) => Client | undefined;
}): (providerClient: object | undefined, identifier: string) => boolean {
  const identifiers = new Set(opened);
  return (providerClient, identifier) =>
    (providerClient && clientOf(providerClient))?.origin === undefined ||
    identifiers.has('*') ||
    identifiers.has(identifier);
}
