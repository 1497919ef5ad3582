/**
 * Clients: who may ask for sign-ins and tokens, and how.
 *
 * This folder owns the tables `clients` and `client_secrets`. It holds that what is registered is safe by the rules
 * of RFC 9700 and RFC 8252 (definition.ts, redirect-uris.ts), that a secret is shown once and stored as a hash, and
 * that a change is seen by every process within a second (cache.ts).
 *
 * Elsewhere: what the provider makes of the metadata (oidc/), which roles exist (rbac/).
 */
import { randomBytes } from 'node:crypto';

import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import { afterSecondOf, findEnd } from '../audit/revocations.ts';
import type { Clock } from '../platform/clock.ts';
import { uniqueViolation, type Database, type Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import { bumpVersion, watchVersion, type VersionWatch } from '../platform/version-watch.ts';
import { createClientCache } from './cache.ts';
import { hasSecret, type Client, type ClientDefinition, type IdTokenAlg } from './client.ts';
import {
  changeDefinition,
  changedProperties,
  defineClient,
  type DefinitionChanges,
  type DefinitionInput,
} from './definition.ts';
import { deleteInTransaction } from './deletion.ts';
import type { ClientDocuments } from './documents/service.ts';
import { responseSigningAlgs } from './message-options.ts';
import { assertFreeName } from './names.ts';
import { assertInSector, changesSector, readSector, type SectorDocument } from './pairwise.ts';
import { checkSelfRegistered } from './registration/rules.ts';
import { noSecretWanted, removeSecretInTransaction, rotateSecretInTransaction } from './secret-rotation.ts';
import { checkImportedSecret, generateSecret, hashSecret, verifySecret } from './secrets.ts';
import {
  deleteSecrets,
  findClient,
  insertClient,
  insertSecret,
  listClients,
  lockClient,
  updateClient,
} from './store.ts';

const VERSION_NAME = 'clients';
const CLIENT_ID = /^[A-Za-z0-9][A-Za-z0-9._~:/@+-]{0,127}$/;

/** What may be given when registering a client; everything but the name has a default or is inferred. */
export interface NewClient extends DefinitionInput {
  /** Imported; else generated. */
  clientId?: string;
  /** Imported; else generated where the authentication method needs one. */
  secret?: string;
}

/** What may change later: not the kind. `null` clears an optional property. */
export type ClientChanges = DefinitionChanges;

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
  /** The same without asking anybody's host: clients of documents as far as they are in memory, however old. */
  findKnown: (clientId: string) => Promise<Client | undefined>;
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
  /** For changes that are made elsewhere in this folder: in one transaction, announced to every process. */
  inChange: <T>(work: (tx: Queryable) => Promise<T>) => Promise<T>;
  /** Called after the cache was emptied because some client changed, here or in another process. */
  onChange: (listener: () => void) => () => void;
  /** Begins to watch for changes and to keep clients in memory. */
  start: () => Promise<void>;
  stop: () => Promise<void>;
}

/**
 * @param staleAfterSeconds how long clients are still served from memory while the database cannot be asked whether
 *   they have changed; after that a look-up fails as the database does
 * @param onError told when the database cannot be watched; the watch goes on
 */
export function createClientService({
  db,
  clock,
  outgoing,
  documents = { find: async () => undefined, known: () => undefined },
  staleAfterSeconds = 300,
  idTokenAlgs = ['RS256', 'ES256', 'EdDSA'],
  longestTokenSeconds = 400 * 86_400,
  pollIntervalMs = 1_000,
  onError = () => {},
}: {
  db: Database;
  clock: Clock;
  /** For the documents that bind clients to their sector. */
  outgoing?: Outgoing;
  /** For ids that no registered client has. */
  documents?: ClientDocuments;
  /** Those that there are keys for. */
  idTokenAlgs?: readonly IdTokenAlg[];
  staleAfterSeconds?: number;
  /** How long a token of a client lives at most: what was given to a deleted one is refused that long. */
  longestTokenSeconds?: number;
  pollIntervalMs?: number;
  onError?: (error: Error) => void;
}): ClientService {
  const listeners = new Set<() => void>();
  const cache = createClientCache({
    load: async (clientId) => {
      const client = await findClient(db, clientId);
      return client && deepFreeze(client);
    },
  });
  let watch: VersionWatch | undefined;

  const forget = (): void => {
    cache.clear();
    for (const listener of listeners) listener();
  };
  const isKnownFresh = (): boolean =>
    watch !== undefined && performance.now() - watch.confirmedAtMs() < staleAfterSeconds * 1_000;

  const checkAlgs = (definition: ClientDefinition, before?: ClientDefinition): void => {
    const known = new Set<string>([...idTokenAlgs, ...(before ? responseSigningAlgs(before) : [])]);
    const alg = responseSigningAlgs(definition).find((wanted) => !known.has(wanted));
    if (alg === undefined) return;
    throw new AppError(
      'invalid_client',
      400,
      `There is no ${alg} key to sign with. Add it to keys.algorithms, or choose from ${idTokenAlgs.join(', ')}.`,
    );
  };

  const findRegistered = async (clientId: string): Promise<Client | undefined> => {
    if (!isClientId(clientId)) return undefined;
    return isKnownFresh() ? cache.find(clientId) : findClient(db, clientId);
  };

  /** One change: made, recorded and announced in one transaction. */
  const change = async <T>(work: (tx: Queryable) => Promise<T>): Promise<T> => {
    const result = await db.transaction(async (tx) => {
      const made = await work(tx);
      await bumpVersion(tx, VERSION_NAME);
      return made;
    });
    forget();
    return result;
  };
  const lock = async (tx: Queryable, clientId: string): Promise<Client> =>
    (await lockClient(tx, clientId)) ?? notFound(clientId);
  const reread = async (tx: Queryable, clientId: string): Promise<Client> =>
    (await findClient(tx, clientId)) ?? notFound(clientId);

  /** Before the client is locked: whoever is asked may take their time. */
  const readSectorOfChange = async (
    clientId: string,
    changes: ClientChanges,
  ): Promise<SectorDocument | undefined> => {
    if (!changesSector(changes)) return undefined;
    const before = (await findClient(db, clientId)) ?? notFound(clientId);
    return readSector(changeDefinition(definitionOf(before), changes), outgoing);
  };

  return {
    create: async ({ clientId = randomBytes(16).toString('hex'), secret: imported, ...input }, by) => {
      const definition = defineClient(input);
      checkAlgs(definition);
      assertInSector(definition, await readSector(definition, outgoing));
      if (!CLIENT_ID.test(clientId)) {
        throw new AppError(
          'invalid_client',
          400,
          'A client id is 1 to 128 of A-Z a-z 0-9 . _ ~ : / @ + - and starts with a letter or digit.',
        );
      }
      // One of the same name that was deleted in this second would take along what this one is given.
      await afterSecondOf(await findEnd(db, clientId, ['client']), clock);
      const now = clock.now();
      const secret = hasSecret(definition) ? (imported ?? generateSecret()) : undefined;
      if (imported !== undefined) {
        if (!secret) throw noSecretWanted(definition.authMethod);
        checkImportedSecret(imported);
      }
      return change(async (tx) => {
        await assertFreeName(tx, clientId);
        await insertClient(tx, clientId, definition, now).catch((error: unknown) => {
          if (uniqueViolation(error) !== 'clients_pkey') throw error;
          throw new AppError('client_exists', 409, `There is a client ${clientId} already.`, {
            cause: error,
          });
        });
        if (secret) await insertSecret(tx, clientId, hashSecret(secret, now));
        await appendInTransaction(
          tx,
          {
            type: 'client.created',
            outcome: 'success',
            actor: by,
            clientId,
            payload: { name: definition.name, kind: definition.kind, imported: imported !== undefined },
          },
          { clock },
        );
        return { client: await reread(tx, clientId), ...(secret && { secret }) };
      });
    },

    get: async (clientId) => {
      const client = isClientId(clientId) ? await findClient(db, clientId) : undefined;
      return client ?? notFound(clientId);
    },

    find: async (clientId) => (await findRegistered(clientId)) ?? documents.find(clientId),

    findKnown: async (clientId) => (await findRegistered(clientId)) ?? documents.known(clientId),

    list: (page = {}) => listClients(db, page),

    update: async (clientId, changes, by) => {
      const sector = await readSectorOfChange(clientId, changes);
      return change(async (tx) => {
        const before = await lock(tx, clientId);
        const definition = definitionOf(before);
        const after = changeDefinition(definition, changes);
        if (before.origin === 'dynamic') checkSelfRegistered(after);
        if (changesSector(changes)) assertInSector(after, sector);
        checkAlgs(after, before);
        const changed = changedProperties(definition, after);
        if (changed.length === 0) return before;
        await updateClient(tx, clientId, after, clock.now());
        if (!hasSecret(after)) await deleteSecrets(tx, clientId);
        await appendInTransaction(
          tx,
          { type: 'client.updated', outcome: 'success', actor: by, clientId, payload: { changed } },
          { clock },
        );
        return reread(tx, clientId);
      });
    },

    delete: (clientId, by) =>
      change(async (tx) =>
        deleteInTransaction(tx, await lock(tx, clientId), { by, clock, longestTokenSeconds }),
      ),

    rotateSecret: (clientId, { graceSeconds }, by) =>
      change(async (tx) => {
        const client = await lock(tx, clientId);
        const made = await rotateSecretInTransaction(tx, client, { graceSeconds, by, clock });
        return { client: await reread(tx, clientId), ...made };
      }),

    removeSecret: (clientId, secretId, by) =>
      change(async (tx) => {
        await removeSecretInTransaction(tx, await lock(tx, clientId), { secretId, by, clock });
        return reread(tx, clientId);
      }),

    verifySecret: (client, presented) => verifySecret(client, presented, clock.now()),

    inChange: change,

    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    start: async () => {
      watch ??= await watchVersion({ db, name: VERSION_NAME, onChange: forget, onError, pollIntervalMs });
    },

    stop: async () => {
      const stopped = watch;
      watch = undefined;
      cache.clear();
      await stopped?.stop();
    },
  };
}

function definitionOf(client: Client): ClientDefinition {
  const { secrets: _, clientId: __, createdAt: ___, updatedAt: ____, ...definition } = client;
  return definition;
}

/** Whatever else was presented as one is no client's, and not worth a query. */
function isClientId(value: string): boolean {
  return CLIENT_ID.test(value);
}

function notFound(clientId: string): never {
  throw new AppError('client_not_found', 404, `There is no client ${JSON.stringify(clientId)}.`);
}

/** Everybody shares the cached object. Bytes cannot be frozen; nothing writes to them. */
function deepFreeze<T extends object>(value: T): T {
  if (ArrayBuffer.isView(value) || value instanceof Date) return value;
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member as object);
  }
  return Object.freeze(value);
}
