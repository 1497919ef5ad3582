/** What nothing can be faster than: Koa without anything behind it, and the hashing of passwords by itself. */
import { fork } from 'node:child_process';
import path from 'node:path';

import type { HashParameters } from '../src/accounts/hashing/hasher.ts';
import { createHashingPool } from '../src/accounts/hashing/pool.ts';
import { loadConfig } from '../src/config/load.ts';
import type { Load } from './load.ts';
import { measure, type Measurement } from './measure.ts';
import { listProcesses, timeBetween, timesOf } from './processor-time.ts';

export interface KoaFloor {
  measure: (options: { seconds: number; connections: number }) => Promise<Measurement>;
  stop: () => Promise<void>;
}

/** One process for the whole run, so that its code is as warm as the server's. */
export async function startKoaFloor(): Promise<KoaFloor> {
  const child = fork(path.join(import.meta.dirname, 'koa-floor.process.ts'));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve(message as number));
    child.once('exit', (code) => reject(new Error(`the Koa floor ended with ${code}`)));
  });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const load: Load = {
    steps: [
      {
        request: () => ({ method: 'POST', path: '/', headers, body: 'grant_type=client_credentials' }),
        accept: ({ status, body }) => status === 200 && body.includes('access_token'),
      },
    ],
  };
  return {
    measure: (options) =>
      measure(load, {
        name: 'bare Koa POST',
        url: `http://127.0.0.1:${port}`,
        processorTimes: async () => ({
          server: timesOf((await listProcesses()).filter(({ pid }) => pid === child.pid)),
        }),
        ...options,
      }),
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export interface HashingFloor {
  workers: number;
  parameters: HashParameters;
  verificationsPerSecond: number;
  cpuMicroseconds: number | undefined;
}

/** The server's own pool at its default size and cost, always kept busy. */
export async function measureHashing({ seconds }: { seconds: number }): Promise<HashingFloor> {
  const { workers, queueLength, parameters } = defaultPasswordSettings();
  const pool = createHashingPool({ workers, queueLength });
  try {
    const made = await pool.hash('correct horse battery staple', parameters);
    if (made.kind === 'busy') throw new Error('an idle hashing pool is busy');
    const workerTimes = async (): Promise<ReturnType<typeof timesOf>> =>
      timesOf((await listProcesses()).filter(({ pid }) => pool.pids().includes(pid)));

    let verified = 0;
    let deadline = Infinity;
    const verifyOneByOne = async (): Promise<void> => {
      const place = pool.reserve();
      if (place.kind === 'busy') throw new Error('the hashing pool has no place');
      while (performance.now() < deadline) {
        await place.slot.verifyEach('correct horse battery staple', [made.hash]);
        verified += 1;
      }
      place.slot.release();
    };
    const running = Array.from({ length: workers * 2 }, verifyOneByOne);
    await new Promise((resolve) => setTimeout(resolve, 250));
    const [before, startedAt, already] = [await workerTimes(), performance.now(), verified];
    deadline = startedAt + seconds * 1000;
    await Promise.all(running);
    const elapsedSeconds = (performance.now() - startedAt) / 1000;
    const spent = timeBetween(before, await workerTimes());
    return {
      workers,
      parameters,
      verificationsPerSecond: (verified - already) / elapsedSeconds,
      cpuMicroseconds: spent === undefined ? undefined : spent / (verified - already),
    };
  } finally {
    await pool.close();
  }
}

function defaultPasswordSettings(): { workers: number; queueLength: number; parameters: HashParameters } {
  const configDirectory = path.join(import.meta.dirname, '..', 'config');
  const loaded = loadConfig({ env: {}, configDirectory });
  if (loaded.kind === 'problems') throw new Error(JSON.stringify(loaded.problems));
  const { workers, queueLength, memoryKib, iterations, parallelism } = loaded.config.password;
  return { workers, queueLength, parameters: { memoryKib, iterations, parallelism } };
}
