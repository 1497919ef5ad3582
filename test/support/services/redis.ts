import { connect } from 'node:net';
import path from 'node:path';

import { REDIS, findProgram } from './programs.ts';
import { startProcess, startService } from './process.ts';

export interface RedisServer {
  url: string;
  stop: () => Promise<void>;
}

/** A Redis of our own on loopback, that keeps nothing on disk and evicts nothing. */
export async function startRedis({ directory }: { directory: string }): Promise<RedisServer> {
  const program = findProgram(REDIS);
  if (program === undefined) throw new Error('no redis-server found');
  const logFile = path.join(directory, 'redis.log');
  const settings = { bind: '127.0.0.1', save: '', appendonly: 'no', 'maxmemory-policy': 'noeviction' };

  const { port, process: server } = await startService({
    name: 'Redis',
    logFile,
    start: (port) =>
      startProcess(
        program,
        Object.entries({ ...settings, port: String(port) }).flatMap(([name, value]) => [`--${name}`, value]),
        { logFile, cwd: directory },
      ),
    isReady: answersPing,
  });
  return { url: `redis://127.0.0.1:${port}`, stop: () => server.stop() };
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
