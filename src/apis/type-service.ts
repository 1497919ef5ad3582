/**
 * The types of authorization details (RFC 9396): registered for an API, kept in memory whole, for there are few. They
 * share the version of the APIs, since an API that is deleted takes its types along.
 */
import { appendInTransaction } from '../audit/append.ts';
import type { Actor, AuditEvent } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import { type Database, type Queryable, uniqueViolation } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { bumpVersion, watchVersion, type VersionWatch } from '../platform/version-watch.ts';
import {
  type AuthorizationType,
  type AuthorizationTypeInput,
  changedTypeProperties,
  checkType,
  defineType,
} from './authorization-type.ts';
import { VERSION_NAME } from './service.ts';
import { lockApi } from './store.ts';
import {
  deleteType,
  findType,
  forgetConsents,
  insertType,
  listTypes,
  lockType,
  updateType,
} from './type-store.ts';

export interface NewAuthorizationType extends AuthorizationTypeInput {
  type: string;
  api: string;
}

export interface AuthorizationTypeService {
  /** @throws AppError `invalid_authorization_type` (400), `api_not_found` (404), `authorization_type_exists` (409) */
  create: (input: NewAuthorizationType, by: Actor) => Promise<AuthorizationType>;
  /** Reads past the memory. @throws AppError `authorization_type_not_found` (404) */
  get: (type: string) => Promise<AuthorizationType>;
  /** Reads past the memory. In the order of the types. */
  list: () => Promise<AuthorizationType[]>;
  /** @throws AppError `invalid_authorization_type` (400), `authorization_type_not_found` (404) */
  update: (type: string, changes: Partial<AuthorizationTypeInput>, by: Actor) => Promise<AuthorizationType>;
  /** Nothing of the type is told any more, but in JWTs that are out. @throws AppError `authorization_type_not_found` (404) */
  delete: (type: string, by: Actor) => Promise<void>;
  /** From memory, as of a second ago; empty before `start`. */
  current: () => ReadonlyMap<string, AuthorizationType>;
  /** Called when the types in memory are others than before. */
  onChange: (listener: () => void) => () => void;
  start: () => Promise<void>;
  stop: () => Promise<void>;
}

export function createAuthorizationTypeService({
  db,
  clock,
  pollIntervalMs = 1_000,
  onError = () => {},
}: {
  db: Database;
  clock: Clock;
  pollIntervalMs?: number;
  onError?: (error: Error) => void;
}): AuthorizationTypeService {
  const listeners = new Set<() => void>();
  let watch: VersionWatch | undefined;
  let types: ReadonlyMap<string, AuthorizationType> = new Map();
  let loading: Promise<void> = Promise.resolve();

  const load = async (): Promise<void> => {
    const loaded = new Map((await listTypes(db)).map((one) => [one.type, one]));
    const isSame = JSON.stringify([...types]) === JSON.stringify([...loaded]);
    types = loaded;
    if (!isSame) for (const listener of listeners) listener();
  };
  /** One load after the other: the last one that is asked for has the last word. */
  const reload = (): Promise<void> => {
    loading = loading.then(load).catch((error: unknown) => {
      onError(error as Error);
      // What is in memory stays; the next turn of the watch may not come by itself.
      if (watch) setTimeout(() => void reload(), pollIntervalMs).unref();
    });
    return loading;
  };

  const change = async <T>(work: (tx: Queryable) => Promise<T>): Promise<T> => {
    const result = await db.transaction(async (tx) => {
      const made = await work(tx);
      await bumpVersion(tx, VERSION_NAME);
      return made;
    });
    if (watch) await reload();
    return result;
  };
  const record = (tx: Queryable, event: AuditEvent): Promise<unknown> =>
    appendInTransaction(tx, event, { clock });

  return {
    create: async ({ type, api, ...input }, by) => {
      checkType(type);
      const definition = defineType(input);
      return change(async (tx) => {
        if (!(await lockApi(tx, api))) {
          throw new AppError('api_not_found', 404, `There is no API ${JSON.stringify(api)}.`);
        }
        await insertType(tx, { type, api, now: clock.now(), ...definition }).catch((error: unknown) => {
          if (uniqueViolation(error) !== 'authorization_types_pkey') throw error;
          throw new AppError(
            'authorization_type_exists',
            409,
            `There is a type ${type} of authorization details already.`,
            { cause: error },
          );
        });
        await record(tx, {
          type: 'authorization_type.created',
          outcome: 'success',
          actor: by,
          payload: { type, api, name: definition.name },
        });
        return (await findType(tx, type)) ?? notFound(type);
      });
    },

    get: async (type) => (await findType(db, type)) ?? notFound(type),
    list: () => listTypes(db),

    update: (type, changes, by) =>
      change(async (tx) => {
        const before = (await lockType(tx, type)) ?? notFound(type);
        const { name, fields, isRemembered } = before;
        const after = defineType({ name, fields, isRemembered, ...changes });
        const changed = changedTypeProperties(before, after);
        if (changed.length === 0) return before;
        await updateType(tx, { type, now: clock.now(), ...after });
        await forgetConsents(tx, type);
        await record(tx, {
          type: 'authorization_type.updated',
          outcome: 'success',
          actor: by,
          payload: { type, changed },
        });
        return (await findType(tx, type)) ?? notFound(type);
      }),

    delete: (type, by) =>
      change(async (tx) => {
        const { api, name } = (await lockType(tx, type)) ?? notFound(type);
        await deleteType(tx, type);
        await record(tx, {
          type: 'authorization_type.deleted',
          outcome: 'success',
          actor: by,
          payload: { type, api, name },
        });
      }),

    current: () => types,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    start: async () => {
      if (watch) return;
      watch = await watchVersion({
        db,
        name: VERSION_NAME,
        onChange: () => void reload(),
        onError,
        pollIntervalMs,
      });
      await load();
    },
    stop: async () => {
      const stopped = watch;
      watch = undefined;
      await stopped?.stop();
      await loading;
    },
  };
}

function notFound(type: string): never {
  throw new AppError(
    'authorization_type_not_found',
    404,
    `There is no type ${JSON.stringify(type)} of authorization details.`,
  );
}
