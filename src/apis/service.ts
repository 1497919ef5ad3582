/**
 * APIs: what access tokens are for, and what can be permitted there.
 *
 * This folder owns the tables `apis`, `api_permissions` and `client_permissions`. It holds that an identifier and the
 * names of permissions are what the standards allow (definition.ts), that only permissions that exist are given, and
 * that a change is seen by every process within a second.
 *
 * Elsewhere: which role carries which permission (rbac/), what a token ends up with (oidc/resources.ts).
 */
import { appendInTransaction } from '../audit/append.ts';
import type { Actor, AuditEvent } from '../audit/events.ts';
import { afterSecondOf, findEnd, insertRevocation } from '../audit/revocations.ts';
import type { Clock } from '../platform/clock.ts';
import { uniqueViolation, type Database, type Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { createKeyedCache } from '../platform/keyed-cache.ts';
import { bumpVersion, watchVersion, type VersionWatch } from '../platform/version-watch.ts';
import {
  API_SIGNING_ALGS,
  type Api,
  type ApiDefinition,
  MAX_ACCESS_TOKEN_SECONDS,
  type Permission,
} from './api.ts';
import {
  changeApi,
  changedProperties,
  checkIdentifier,
  checkPermission,
  defineApi,
  mayBeIdentifier,
  type ApiChanges,
  type ApiInput,
} from './definition.ts';
import {
  clientExists,
  deleteApi,
  deleteClientPermissions,
  deletePermission,
  findApi,
  findClientPermissions,
  insertApi,
  insertClientPermissions,
  listApis,
  listPermittedClients,
  lockApi,
  savePermission,
  updateApi,
} from './store.ts';

export const VERSION_NAME = 'apis';

/** What may be given when registering an API; everything but the identifier and the name has a default. */
export interface NewApi extends ApiInput {
  identifier: string;
  permissions?: readonly Permission[];
}

export interface ApiService {
  /** @throws AppError `invalid_api` or `invalid_permission` (400), `client_not_found` (404), `api_exists` (409) */
  create: (input: NewApi, by: Actor) => Promise<Api>;
  /** Reads past the cache. @throws AppError `api_not_found` (404) */
  get: (identifier: string) => Promise<Api>;
  /** Served from memory; a change anywhere is seen within a second. Before `start` nothing is kept in memory. */
  find: (identifier: string) => Promise<Api | undefined>;
  /** In the order of their identifiers. */
  list: () => Promise<Api[]>;
  /** @throws AppError `invalid_api` (400), `api_not_found` or `client_not_found` (404) */
  update: (identifier: string, changes: ApiChanges, by: Actor) => Promise<Api>;
  /** With its permissions, wherever they were given. @throws AppError `api_not_found` (404) */
  delete: (identifier: string, by: Actor) => Promise<void>;
  /** Adds it, or describes it anew. @throws AppError `invalid_permission` (400), `api_not_found` (404) */
  setPermission: (identifier: string, permission: Permission, by: Actor) => Promise<Api>;
  /** Takes it from everybody who has it as well. @throws AppError `api_not_found` or `permission_not_found` (404) */
  removePermission: (identifier: string, name: string, by: Actor) => Promise<Api>;
  /**
   * Lets a client act for itself (RFC 6749 §4.4).
   *
   * @returns the permissions that it did not have before
   * @throws AppError `api_not_found`, `permission_not_found` or `client_not_found` (404)
   */
  permitClient: (change: ClientPermissionsChange, by: Actor) => Promise<string[]>;
  /** @returns the permissions that it had. @throws AppError as `permitClient` */
  forbidClient: (change: ClientPermissionsChange, by: Actor) => Promise<string[]>;
  /** What the client may do for itself at the API, by name. Served from memory as `find` is. */
  permissionsOfClient: (clientId: string, identifier: string) => Promise<readonly string[]>;
  permittedClients: (identifier: string) => Promise<{ clientId: string; permissions: string[] }[]>;
  /** Empties the memory: a client that an API or a permission refers to has changed. */
  forget: () => void;
  /** Begins to watch for changes and to keep APIs in memory. */
  start: () => Promise<void>;
  stop: () => Promise<void>;
}

export interface ClientPermissionsChange {
  clientId: string;
  api: string;
  permissions: readonly string[];
}

/**
 * @param signingAlgs those that there are keys for
 * @param staleAfterSeconds how long APIs are still served from memory while the database cannot be asked whether they
 *   have changed; after that a look-up fails as the database does
 * @param onError told when the database cannot be watched; the watch goes on
 */
export function createApiService({
  db,
  clock,
  signingAlgs = API_SIGNING_ALGS,
  staleAfterSeconds = 300,
  pollIntervalMs = 1_000,
  onError = () => {},
}: {
  db: Database;
  clock: Clock;
  signingAlgs?: readonly string[];
  staleAfterSeconds?: number;
  pollIntervalMs?: number;
  onError?: (error: Error) => void;
}): ApiService {
  const apis = createKeyedCache<Api>({ load: (identifier) => findApi(db, identifier) });
  const ofClients = createKeyedCache<readonly string[]>({
    load: (key) => {
      const [clientId = '', api = ''] = JSON.parse(key) as string[];
      return findClientPermissions(db, { clientId, api });
    },
  });
  let watch: VersionWatch | undefined;

  const forget = (): void => {
    apis.clear();
    ofClients.clear();
  };
  const isKnownFresh = (): boolean =>
    watch !== undefined && performance.now() - watch.confirmedAtMs() < staleAfterSeconds * 1_000;

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
  /** What an API has already is left to it. */
  const checkAlg = ({ signingAlg }: ApiDefinition, before?: ApiDefinition): void => {
    if (signingAlgs.includes(signingAlg) || before?.signingAlg === signingAlg) return;
    throw new AppError(
      'invalid_api',
      400,
      `There is no ${signingAlg} key to sign with. Add it to keys.algorithms, or choose from ${signingAlgs.join(', ')}.`,
    );
  };
  const record = (tx: Queryable, event: AuditEvent): Promise<unknown> =>
    appendInTransaction(tx, event, { clock });
  const lock = async (tx: Queryable, identifier: string): Promise<Api> =>
    (await lockApi(tx, identifier)) ?? notFound(identifier);
  const reread = async (tx: Queryable, identifier: string): Promise<Api> =>
    (await findApi(tx, identifier)) ?? notFound(identifier);

  return {
    create: async ({ identifier, permissions = [], ...input }, by) => {
      checkIdentifier(identifier);
      // One of the same name that was deleted in this second would take along the tokens for this one.
      await afterSecondOf(await findEnd(db, identifier, ['api']), clock);
      const now = clock.now();
      const definition = defineApi(input);
      checkAlg(definition);
      const checkedPermissions = permissions.map(checkPermission);
      return change(async (tx) => {
        await assertClient(tx, definition.clientId);
        await refuseClientId(tx, identifier);
        await insertApi(tx, identifier, definition, now).catch((error: unknown) => {
          if (uniqueViolation(error) !== 'apis_pkey') throw error;
          throw new AppError('api_exists', 409, `There is an API ${identifier} already.`, { cause: error });
        });
        for (const permission of checkedPermissions) await savePermission(tx, identifier, permission, now);
        const api = await reread(tx, identifier);
        await record(tx, {
          type: 'api.created',
          outcome: 'success',
          actor: by,
          payload: {
            api: identifier,
            name: definition.name,
            permissions: api.permissions.map(({ name }) => name),
          },
        });
        return api;
      });
    },

    get: async (identifier) => (await findApi(db, identifier)) ?? notFound(identifier),
    find: async (identifier) => {
      if (!mayBeIdentifier(identifier)) return undefined;
      return isKnownFresh() ? apis.find(identifier) : findApi(db, identifier);
    },
    list: () => listApis(db),

    update: (identifier, changes, by) =>
      change(async (tx) => {
        const before = definitionOf(await lock(tx, identifier));
        const after = changeApi(before, changes);
        checkAlg(after, before);
        const changed = changedProperties(before, after);
        if (changed.length === 0) return reread(tx, identifier);
        await assertClient(tx, after.clientId);
        await updateApi(tx, identifier, after, clock.now());
        await record(tx, {
          type: 'api.updated',
          outcome: 'success',
          actor: by,
          payload: { api: identifier, changed },
        });
        return reread(tx, identifier);
      }),

    delete: (identifier, by) =>
      change(async (tx) => {
        const { name } = await lock(tx, identifier);
        await deleteApi(tx, identifier);
        // One of the same name that is registered later is not to accept what was for this one.
        await insertRevocation(tx, {
          kind: 'api',
          id: identifier,
          before: clock.now(),
          expiresAt: new Date(clock.now().getTime() + MAX_ACCESS_TOKEN_SECONDS * 1_000),
          reason: 'API deleted',
        });
        await record(tx, {
          type: 'api.deleted',
          outcome: 'success',
          actor: by,
          payload: { api: identifier, name },
        });
      }),

    setPermission: async (identifier, given, by) => {
      const permission = checkPermission(given);
      return change(async (tx) => {
        const api = await lock(tx, identifier);
        const before = api.permissions.find(({ name }) => name === permission.name);
        if (before?.description === permission.description) return api;
        await savePermission(tx, identifier, permission, clock.now());
        await record(tx, {
          type: before ? 'api.permission_described' : 'api.permission_added',
          outcome: 'success',
          actor: by,
          payload: { api: identifier, permission: permission.name },
        });
        return reread(tx, identifier);
      });
    },

    removePermission: (identifier, name, by) =>
      change(async (tx) => {
        assertPermissions(await lock(tx, identifier), [name]);
        await deletePermission(tx, identifier, name);
        await record(tx, {
          type: 'api.permission_removed',
          outcome: 'success',
          actor: by,
          payload: { api: identifier, permission: name },
        });
        return reread(tx, identifier);
      }),

    permitClient: ({ clientId, api, permissions }, by) =>
      change(async (tx) => {
        assertPermissions(await lock(tx, api), permissions);
        await assertClient(tx, clientId);
        const now = clock.now();
        const added = await insertClientPermissions(tx, { clientId, api, permissions, now });
        if (added.length > 0) {
          await record(tx, {
            type: 'client.permitted',
            outcome: 'success',
            actor: by,
            clientId,
            payload: { api, permissions: added },
          });
        }
        return added;
      }),

    forbidClient: ({ clientId, api, permissions }, by) =>
      change(async (tx) => {
        assertPermissions(await lock(tx, api), permissions);
        await assertClient(tx, clientId);
        const removed = await deleteClientPermissions(tx, { clientId, api, permissions });
        if (removed.length > 0) {
          await record(tx, {
            type: 'client.forbidden',
            outcome: 'success',
            actor: by,
            clientId,
            payload: { api, permissions: removed },
          });
        }
        return removed;
      }),

    permissionsOfClient: async (clientId, identifier) =>
      (isKnownFresh()
        ? await ofClients.find(JSON.stringify([clientId, identifier]))
        : await findClientPermissions(db, { clientId, api: identifier })) ?? [],
    permittedClients: (identifier) => listPermittedClients(db, identifier),

    forget,
    start: async () => {
      watch ??= await watchVersion({ db, name: VERSION_NAME, onChange: forget, onError, pollIntervalMs });
    },
    stop: async () => {
      const stopped = watch;
      watch = undefined;
      forget();
      await stopped?.stop();
    },
  };
}

function definitionOf(api: Api): ApiDefinition {
  const { identifier: _, permissions: __, createdAt: ___, updatedAt: ____, ...definition } = api;
  return definition;
}

function assertPermissions(api: Api, names: readonly string[]): void {
  const stranger = names.find((name) => !api.permissions.some((permission) => permission.name === name));
  if (stranger !== undefined) {
    throw new AppError(
      'permission_not_found',
      404,
      `The API ${api.identifier} has no permission ${JSON.stringify(stranger)}.`,
    );
  }
}

async function assertClient(tx: Queryable, clientId: string | undefined): Promise<void> {
  if (clientId === undefined || (await clientExists(tx, clientId))) return;
  throw new AppError('client_not_found', 404, `There is no client ${JSON.stringify(clientId)}.`);
}

/** An ID token for a client of that name would carry the same `aud` as access tokens for the API. */
async function refuseClientId(tx: Queryable, identifier: string): Promise<void> {
  if (!(await clientExists(tx, identifier))) return;
  throw new AppError(
    'invalid_api',
    400,
    `A client is called ${identifier}; the API needs a name of its own.`,
  );
}

function notFound(identifier: string): never {
  throw new AppError('api_not_found', 404, `There is no API ${JSON.stringify(identifier)}.`);
}
