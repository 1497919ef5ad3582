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
   * At the next commit, or flush in one call, ends every connection: `before` it reaches the server; when it is `sent`,
   * without waiting for the server; `after` the server has carried it out, but before any answer is passed on; or
   * `answered`, when all but the word that it is done has been passed on. With `stayCut`, new connections are refused
   * until `restore`; with `isOwn`, a commit only counts where it is a statement of its own.
   */
  cutAtCommit: (moment: Moment, options?: { stayCut?: boolean; isOwn?: boolean }) => Promise<void>;
  close: () => Promise<void>;
}

export type Moment = 'before' | 'sent' | 'after' | 'answered';

/** A simple query, as the protocol frames it: Q, length, text, NUL. */
const COMMIT = Buffer.from('Q\0\0\0\u000bcommit\0');
/** Within Bind: the portal without a name, then the name of the statement. */
const FLUSH = Buffer.from('\0audit_flush\0');
/** ReadyForQuery: Z, length, and that no transaction is open. */
const DONE = 'Z\0\0\0\u0005I';

export async function createDatabaseProxy(target: string): Promise<DatabaseProxy> {
  const url = new URL(target);
  const pairs = new Set<{ client: Socket; server: Socket }>();
  let mode: 'open' | 'cut' | 'frozen' = 'open';
  let armed: { moment: Moment; stayCut: boolean; isOwn: boolean; done: () => void } | undefined;

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
      if (armed && (data.includes(COMMIT) || (!armed.isOwn && data.includes(FLUSH)))) {
        if (armed.moment === 'before') {
          fire();
          return;
        }
        if (armed.moment === 'sent') {
          server.end(data, fire);
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
        const end = answer.indexOf(DONE);
        if (end === -1) return;
        if (armed.moment === 'answered') client.end(Buffer.from(answer.slice(0, end), 'latin1'), fire);
        else fire();
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
        // A frozen way tells neither end that the other has gone.
        if (mode === 'frozen') return;
        pairs.delete(pair);
        other.destroy();
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
    cutAtCommit: (moment, { stayCut = false, isOwn = false } = {}) =>
      new Promise((done) => {
        armed = { moment, stayCut, isOwn, done };
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
