import { connect } from 'node:net';
import path from 'node:path';

import { REDIS, findProgram } from './programs.ts';
import { startProcess, startService } from './process.ts';

export interface RedisServer {
  url: string;
  /** Of the process that runs now. */
  pid: () => number;
  stop: () => Promise<void>;
  /** Starts it once more after a stop, at the same address. */
  startAgain: () => Promise<void>;
}

/** A Redis of our own on loopback, that evicts nothing. What it holds outlives a stop only where `isKept`. */
export async function startRedis({
  directory,
  isKept = false,
}: {
  directory: string;
  isKept?: boolean;
}): Promise<RedisServer> {
  const program = findProgram(REDIS);
  if (program === undefined) throw new Error('no redis-server found');
  const logFile = path.join(directory, 'redis.log');
  const settings = {
    bind: '127.0.0.1',
    save: '',
    appendonly: isKept ? 'yes' : 'no',
    'maxmemory-policy': 'noeviction',
  };
  const start = (atPort?: number): ReturnType<typeof startService> =>
    startService({
      name: 'Redis',
      logFile,
      ...(atPort !== undefined && { atPort }),
      start: (port) =>
        startProcess(
          program,
          Object.entries({ ...settings, port: String(port) }).flatMap(([name, value]) => [
            `--${name}`,
            value,
          ]),
          { logFile, cwd: directory },
        ),
      isReady: answersPing,
    });
  const first = await start();
  const { port } = first;
  let server = first.process;
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: () => server.pid,
    stop: () => server.stop(),
    startAgain: async () => {
      ({ process: server } = await start(port));
    },
  };
}

async function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => finish(data.toString().startsWith('+PONG')));
    socket.once('error', () => finish(false));
    socket.once('timeout', () => finish(false));
  });
}
