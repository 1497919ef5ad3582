import { AsyncLocalStorage } from 'node:async_hooks';

import { Provider } from 'oidc-provider';

import type { Client } from '../clients/client.ts';
import type { Outgoing } from '../platform/outgoing.ts';

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

/** The library's client whose keys are read outside of any request of its own. */
export const fetchingFor = new AsyncLocalStorage<object>();

/**
 * The library's `fetch`, which reads the keys that clients publish: the inner hosts that an operator has listed are for
 * clients that an operator registered.
 */
export function createFetch({
  outgoing,
  outgoingToStrangers,
  clientOf,
}: {
  outgoing: Pick<Outgoing, 'fetch'>;
  outgoingToStrangers: Pick<Outgoing, 'fetch'>;
  clientOf: (providerClient: object) => Client | undefined;
}): Outgoing['fetch'] {
  return (url, init) => {
    const client = Provider.ctx?.oidc.client ?? fetchingFor.getStore();
    const isStranger = client !== undefined && clientOf(client)?.origin !== undefined;
    return (isStranger ? outgoingToStrangers : outgoing).fetch(url, init);
  };
}
