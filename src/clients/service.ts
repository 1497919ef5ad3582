import type { Actor } from '../audit/events.ts';
import type { Client, ClientDefinition } from './client.ts';

/** What may be given when registering a client; everything but the name has a default or is inferred. */
export interface NewClient extends Partial<ClientDefinition> {
  name: string;
  /** Infers `browser` or `native` and `authMethod: 'none'`. */
  isPublic?: boolean;
  /** Imported; else generated. */
  clientId?: string;
  /** Imported; else generated where the authentication method needs one. */
  secret?: string;
}

/** What may change later: not the kind. `null` clears an optional property. */
export type ClientChanges = {
  [K in keyof Omit<ClientDefinition, 'kind'>]?:
    | ClientDefinition[K]
    | (undefined extends ClientDefinition[K] ? null : never)
    | undefined;
};

export interface ClientService {
  /**
   * Registers a client. The secret, where it has one, is returned here and never again.
   *
   * @throws AppError `invalid_redirect_uri` or `invalid_client` (400), `client_exists` (409)
   */
  create: (input: NewClient, by: Actor) => Promise<{ client: Client; secret?: string }>;
  /** Reads past the cache. @throws AppError `client_not_found` (404) */
  get: (clientId: string) => Promise<Client>;
  /**
   * Served from memory; a change anywhere is seen within a second. The object is frozen, and the same one until the
   * client changes. Before `start` nothing is kept in memory.
   */
  find: (clientId: string) => Promise<Client | undefined>;
  /** In the order of their ids; all of them unless a limit is given. */
  list: (page?: { limit?: number; after?: string }) => Promise<Client[]>;
  update: (clientId: string, changes: ClientChanges, by: Actor) => Promise<Client>;
  delete: (clientId: string, by: Actor) => Promise<void>;
  /**
   * Adds a second secret. The first lives on until it is removed, or for `graceSeconds` where that is given.
   *
   * @throws AppError `too_many_secrets` (409) where two live already, `no_secret_wanted` (409) for a public client
   */
  rotateSecret: (
    clientId: string,
    options: { graceSeconds?: number },
    by: Actor,
  ) => Promise<{ client: Client; secret: string; secretId: string }>;
  /** @throws AppError `secret_not_found` (404), `last_secret` (409) */
  removeSecret: (clientId: string, secretId: string, by: Actor) => Promise<Client>;
  /** Compares with every live secret, in constant time. */
  verifySecret: (client: Client, presented: string) => boolean;
  /** Called after the cache was emptied because some client changed, here or in another process. */
  onChange: (listener: () => void) => () => void;
  /** Begins to watch for changes and to keep clients in memory. */
  start: () => Promise<void>;
  stop: () => Promise<void>;
}
