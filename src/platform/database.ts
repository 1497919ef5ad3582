import pg from 'pg';

import { dropConnection, openConnection, type Connection } from './connection.ts';
import { watchSilence } from './silence.ts';

/** Whatever runs SQL: the pool, or one connection inside a transaction. */
export interface Queryable {
  /**
   * @param options.name prepares the statement once for each connection, for what runs all the time: parsing and
   *   planning cost more than running it. One name for one text, and its columns are listed, or a migration that adds
   *   one would break it. (PgBouncer's transaction pooling knows such statements from 1.21 on.)
   */
  query: <Row extends object>(
    text: string,
    values?: readonly unknown[],
    options?: { name?: string },
  ) => Promise<{ rows: Row[]; rowCount: number }>;
}

export interface Database extends Queryable {
  /** Commits when `work` resolves, rolls back when it throws. */
  transaction: <T>(work: (tx: Queryable) => Promise<T>) => Promise<T>;
  /** Keeps one connection of its own on the channel, reconnecting for as long as it is wanted. */
  listen: (channel: string, onMessage: (payload: string) => void) => Promise<{ stop: () => Promise<void> }>;
  /** A connection of the caller's own, outside the pool. */
  connect: (options?: { timeoutMs?: number }) => Promise<Connection>;
  ping: () => Promise<void>;
  poolUse: () => { total: number; idle: number; waiting: number };
  close: () => Promise<void>;
}

export type DatabaseConnection =
  | { connectionString: string }
  | { host: string; port: number; user: string; password: string; database: string };

export interface DatabaseOptions {
  connection: DatabaseConnection;
  maxConnections?: number;
  connectTimeoutMs?: number;
  /** A statement running longer is cancelled by the server; no request waits for ever. */
  statementTimeoutMs?: number;
  /** After about twice this time without a word from the server nobody waits for it any more. */
  patienceMs?: number;
  /** Told of errors on idle connections and on the listening one: they are not fatal. */
  onError?: (error: Error) => void;
}

/** How long a connection may take to say goodbye. */
const CLOSE_WITHIN_MS = 2_000;

/** A pool of connections to PostgreSQL 15 or later. Connects lazily. */
export function createDatabase({
  connection,
  maxConnections = 10,
  connectTimeoutMs = 5_000,
  statementTimeoutMs = 30_000,
  patienceMs = 2_500,
  onError = () => {},
}: DatabaseOptions): Database {
  const settings: pg.ClientConfig = {
    ...connection,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: 'gatehouse',
    keepAlive: true,
  };
  const pool = new pg.Pool({ ...settings, max: maxConnections, statement_timeout: statementTimeoutMs });
  const open = new Set<pg.PoolClient>();
  pool.on('error', onError);
  pool.on('connect', (client) => {
    open.add(client);
    // The pool listens to idle ones only: one that breaks between two statements of a transaction would end the process.
    client.on('error', onError);
  });
  pool.on('remove', (client) => open.delete(client));
  const dropAll = (): void => {
    for (const client of open) dropConnection(client);
  };

  const silence = watchSilence({
    patienceMs,
    probe: () => ask({ ...settings, connectionTimeoutMillis: patienceMs }, patienceMs),
    onSilent: (error) => {
      onError(error);
      dropAll();
    },
  });
  const acquire = async (): Promise<pg.PoolClient> => {
    const acquiring = pool.connect();
    try {
      return await silence.guard(() => acquiring);
    } catch (error) {
      acquiring.then(
        (client) => client.release(),
        () => {},
      );
      throw error;
    }
  };

  return {
    query: async (text, values, options) =>
      toResult(await silence.guard(() => pool.query(toQuery(text, values, options)))),
    transaction: async (work) => {
      const client = await acquire();
      const query: Queryable['query'] = async (text, values, options) =>
        toResult(await silence.guard(() => client.query(toQuery(text, values, options))));
      let failure: Error | undefined;
      try {
        await query('begin');
        const result = await work({ query });
        await query('commit');
        return result;
      } catch (error) {
        // A connection whose rollback fails is not given back to the pool.
        await query('rollback').catch((rollbackError: Error) => {
          failure = rollbackError;
        });
        throw error;
      } finally {
        client.release(failure);
      }
    },
    listen: (channel, onMessage) => listen({ settings, channel, onMessage, onError }),
    connect: ({ timeoutMs = connectTimeoutMs } = {}) =>
      openConnection({ ...settings, connectionTimeoutMillis: timeoutMs }, onError),
    ping: async () => {
      await silence.guard(() => pool.query('select 1'));
    },
    poolUse: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: async () => {
      silence.stop();
      const timer = setTimeout(dropAll, CLOSE_WITHIN_MS);
      await pool.end();
      clearTimeout(timer);
    },
  };
}

/** Whether the server says anything at all, a refusal included. @throws when it does not, in time */
async function ask(settings: pg.ClientConfig, timeoutMs: number): Promise<void> {
  const client = new pg.Client(settings);
  client.on('error', () => {});
  const timer = setTimeout(() => dropConnection(client), timeoutMs);
  try {
    await client.connect();
    await client.query('select 1');
  } catch (error) {
    if (!isServersWord(error)) throw error;
  } finally {
    clearTimeout(timer);
    dropConnection(client);
  }
}

function isServersWord(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'severity' in error;
}

function toQuery(
  text: string,
  values: readonly unknown[] | undefined,
  { name }: { name?: string } = {},
): pg.QueryConfig {
  return {
    text,
    ...(values === undefined ? {} : { values: values as unknown[] }),
    ...(name === undefined ? {} : { name }),
  };
}

function toResult<Row extends object>(result: pg.QueryResult): { rows: Row[]; rowCount: number } {
  return { rows: result.rows as Row[], rowCount: result.rowCount ?? 0 };
}

async function listen({
  settings,
  channel,
  onMessage,
  onError,
}: {
  settings: pg.ClientConfig;
  channel: string;
  onMessage: (payload: string) => void;
  onError: (error: Error) => void;
}): Promise<{ stop: () => Promise<void> }> {
  let isStopped = false;
  let client: pg.Client | undefined;
  let retry: NodeJS.Timeout | undefined;

  const connect = async (): Promise<void> => {
    const next = new pg.Client(settings);
    next.on('error', onError);
    next.on('notification', ({ payload }) => onMessage(payload ?? ''));
    next.on('end', () => {
      client = undefined;
      reconnectLater();
    });
    try {
      await next.connect();
      await next.query(`listen ${pg.escapeIdentifier(channel)}`);
      client = next;
      if (isStopped) await next.end();
      // Whatever was said while nobody listened was missed: look now.
      else onMessage('');
    } catch (error) {
      await next.end().catch(onError);
      throw error;
    }
  };
  const reconnectLater = (): void => {
    if (isStopped || retry) return;
    retry = setTimeout(() => {
      retry = undefined;
      connect().catch((error: Error) => {
        onError(error);
        reconnectLater();
      });
    }, 500);
    retry.unref();
  };

  await connect();
  return {
    stop: async () => {
      isStopped = true;
      clearTimeout(retry);
      if (!client) return;
      const leaving = client;
      const timer = setTimeout(() => dropConnection(leaving), CLOSE_WITHIN_MS);
      await leaving.end();
      clearTimeout(timer);
    },
  };
}

const UNAVAILABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
]);

/**
 * Whether the fault is that PostgreSQL cannot be reached or cannot answer now (class 08, 53, 57 of its error codes,
 * 25006: a standby that is not promoted yet, 55P03: a lock that somebody else holds for too long), so that the same
 * request may succeed later.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { code, message = '' } = error as { code?: string; message?: string };
  if (code !== undefined && (UNAVAILABLE_CODES.has(code) || /^(08|53|57|25006|55P03)/.test(code)))
    return true;
  return /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|connection timeout/i.test(
    message,
  );
}

/** The name of the unique constraint that the statement violated; undefined for any other error. */
export function uniqueViolation(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, constraint } = error as { code?: string; constraint?: string };
  return code === '23505' ? constraint : undefined;
}
