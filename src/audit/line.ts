import type { Connection } from '../platform/connection.ts';
import type { Database } from '../platform/database.ts';

/** More silence than this, and the database may have been away without our noticing. */
const LONGEST_SILENCE_MS = 3_000;

/** The writer's one connection: made when needed, dropped when it does not answer in time. */
export interface Line {
  /**
   * Runs `work` on the connection. What takes longer than `timeoutMs` loses the connection and so rejects.
   *
   * @throws whatever connecting or `work` throws
   */
  within: <T>(timeoutMs: number, work: (connection: Connection) => Promise<T>) => Promise<T>;
  isOpen: () => boolean;
  drop: () => void;
  /** The database has just answered. */
  noteAnswer: () => void;
  /** For how long it has answered without a break. */
  soundForMs: () => number;
  close: () => Promise<void>;
}

export function createLine(db: Database): Line {
  let connection: Connection | undefined;
  let soundSince = performance.now();
  let lastAnswerAt = -Infinity;

  const noteAnswer = (): void => {
    const now = performance.now();
    if (now - lastAnswerAt > LONGEST_SILENCE_MS) soundSince = now;
    lastAnswerAt = now;
  };

  const drop = (): void => {
    connection?.destroy();
    connection = undefined;
  };

  const connect = async (timeoutMs: number): Promise<Connection> => {
    if (connection?.isOpen()) return connection;
    drop();
    const made = await db.connect({ timeoutMs });
    connection = made;
    soundSince = performance.now();
    lastAnswerAt = soundSince;
    return made;
  };

  const within = async <T>(timeoutMs: number, work: (connection: Connection) => Promise<T>): Promise<T> => {
    const limitMs = Math.max(1, Math.ceil(timeoutMs));
    const current = await connect(limitMs);
    const timer = setTimeout(() => current.destroy(), limitMs);
    try {
      return await work(current);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    within,
    isOpen: () => connection?.isOpen() ?? false,
    drop,
    noteAnswer,
    soundForMs: () => performance.now() - soundSince,
    close: async () => {
      if (!connection?.isOpen()) return drop();
      return within(1_000, (current) => current.close());
    },
  };
}
