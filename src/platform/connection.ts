import type { Socket } from 'node:net';

import pg from 'pg';

/**
 * One connection outside the pool, for who must know what became of a transaction whose connection was lost, and must
 * be able to let go of one that no longer answers.
 */
export interface Connection {
  /**
   * Sends at once, without waiting for the answers of earlier statements: several statements cost one round trip.
   * With `name` the statement is prepared once and planned no more.
   */
  query: <Row extends object>(
    text: string,
    values?: readonly unknown[],
    options?: { name?: string },
  ) => Promise<{ rows: Row[]; rowCount: number; command: string }>;
  /** What `send` asks on this connection before it first waits leaves in one piece: one call of the system, not one each. */
  together: <T>(send: () => T) => T;
  isOpen: () => boolean;
  close: () => Promise<void>;
  /** Drops the connection without a word; whatever is under way rejects. */
  destroy: () => void;
}

/** @throws when the server does not answer within `connectionTimeoutMillis` */
export async function openConnection(
  settings: pg.ClientConfig,
  onError: (error: Error) => void,
): Promise<Connection> {
  const client = new pg.Client({ ...settings, pipeline: true });
  let isOpen = true;
  client.on('error', (error) => {
    isOpen = false;
    onError(error);
  });
  client.on('end', () => {
    isOpen = false;
  });
  const destroy = (): void => {
    isOpen = false;
    dropConnection(client);
  };
  try {
    await client.connect();
  } catch (error) {
    destroy();
    throw error;
  }
  return {
    query: async (text, values, { name } = {}) => {
      const result = await client.query({
        text,
        ...(values ? { values: values as unknown[] } : {}),
        ...(name === undefined ? {} : { name }),
      });
      return { rows: result.rows as never[], rowCount: result.rowCount ?? 0, command: result.command };
    },
    together: (send) => {
      const { stream } = wireOf(client);
      stream.cork();
      try {
        return send();
      } finally {
        stream.uncork();
      }
    },
    isOpen: () => isOpen,
    close: async () => {
      isOpen = false;
      await client.end();
    },
    destroy,
  };
}

/** Without a word to the server, which may be unable to hear it. */
export function dropConnection(client: pg.ClientBase): void {
  wireOf(client).stream.destroy();
}

function wireOf(client: pg.ClientBase): { stream: Socket } {
  return (client as unknown as { connection: { stream: Socket } }).connection;
}
