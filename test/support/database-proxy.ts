import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

/** Stands between a test and PostgreSQL, and can be cut: also at the very moment of a commit. */
export interface DatabaseProxy {
  /** The connection string, leading through here. */
  connectionString: string;
  /** Ends every connection and refuses new ones. */
  cut: () => void;
  /** Passes nothing on any more, in either direction, and says nothing about it. */
  freeze: () => void;
  /** Lets new connections pass again. */
  restore: () => void;
  /**
   * At the next commit: `before` it reaches the server, or `after` the server has carried it out but before its answer
   * is passed on, ends every connection; with `stayCut`, new ones are refused until `restore`.
   */
  cutAtCommit: (moment: 'before' | 'after', options?: { stayCut?: boolean }) => Promise<void>;
  close: () => Promise<void>;
}

/** A simple query, as the protocol frames it: Q, length, text, NUL. */
const COMMIT = Buffer.from('Q\0\0\0\u000bcommit\0');

export async function createDatabaseProxy(target: string): Promise<DatabaseProxy> {
  const url = new URL(target);
  const pairs = new Set<{ client: Socket; server: Socket }>();
  let mode: 'open' | 'cut' | 'frozen' = 'open';
  let armed: { moment: 'before' | 'after'; stayCut: boolean; done: () => void } | undefined;

  const endAll = (): void => {
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
  };

  const fire = (): void => {
    const { stayCut, done } = armed!;
    armed = undefined;
    if (stayCut) mode = 'cut';
    endAll();
    done();
  };

  const listener = createServer((client) => {
    if (mode === 'cut') {
      client.destroy();
      return;
    }
    const server = connect(Number(url.port || 5432), url.hostname);
    const pair = { client, server };
    let isCommitting = false;
    pairs.add(pair);
    client.on('data', (data) => {
      if (mode === 'frozen') return;
      if (armed && data.includes(COMMIT)) {
        if (armed.moment === 'before') {
          fire();
          return;
        }
        isCommitting = true;
      }
      server.write(data);
    });
    let answer = '';
    server.on('data', (data) => {
      if (mode === 'frozen') return;
      if (isCommitting && armed) {
        answer += data.toString('latin1');
        if (answer.includes('COMMIT\0')) fire();
        return;
      }
      client.write(data);
    });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.on('error', () => {});
      socket.on('close', () => {
        pairs.delete(pair);
        if (mode !== 'frozen') other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve);
  });
  const through = new URL(target);
  through.hostname = '127.0.0.1';
  through.port = String((listener.address() as AddressInfo).port);

  return {
    connectionString: through.href,
    cut: () => {
      mode = 'cut';
      endAll();
    },
    freeze: () => {
      mode = 'frozen';
    },
    restore: () => {
      mode = 'open';
    },
    cutAtCommit: (moment, { stayCut = false } = {}) =>
      new Promise((done) => {
        armed = { moment, stayCut, done };
      }),
    close: async () => {
      mode = 'cut';
      endAll();
      await new Promise((resolve) => {
        listener.close(resolve);
      });
    },
  };
}
