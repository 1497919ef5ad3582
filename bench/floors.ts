/** What nothing can be faster than: Koa without anything behind it, and the hashing of passwords by itself. */
import { fork } from 'node:child_process';
import path from 'node:path';

import type { HashParameters } from '../src/accounts/hashing/hasher.ts';
import { createHashingPool } from '../src/accounts/hashing/pool.ts';
import { loadConfig } from '../src/config/load.ts';
import type { Load } from './load.ts';
import { measure, measureWarm, type MeasuringInput, type Measurement } from './measure.ts';
import { listProcesses, timeBetween, timesOf } from './processor-time.ts';

/** Koa that reads the form by hand, and Koa with koa-body. */
export const KOA_FLOORS = { bare: 'bare Koa POST', parser: 'koa-body POST' } as const;
export type KoaFloorName = keyof typeof KOA_FLOORS;
/** Processor time for one request, in microseconds; absent where it cannot be seen. */
export type KoaTimes = Partial<Record<KoaFloorName, number>>;

export interface KoaFloors {
  /** Flat out, for the table. */
  measure: (options: { seconds: number; connections: number }) => Promise<Measurement[]>;
  /** What each takes where it gets so many requests a second. */
  timesAt: (ratePerSecond: number, options: { seconds: number; connections: number }) => Promise<KoaTimes>;
  stop: () => Promise<void>;
}

/** Two processes for the whole run, so that their code is as warm as the server's. */
export async function startKoaFloors(): Promise<KoaFloors> {
  const floors = await Promise.all((Object.keys(KOA_FLOORS) as KoaFloorName[]).map(startKoaFloor));
  return {
    measure: async (options) => {
      const measured: Measurement[] = [];
      for (const floor of floors) measured.push(await floor.measure(options));
      return measured;
    },
    timesAt: async (ratePerSecond, options) => {
      const times: KoaTimes = {};
      for (const { name, measureWarm: measureFloor } of floors) {
        const { server } = (await measureFloor({ ...options, ratePerSecond })).cpuMicroseconds;
        if (server !== undefined) times[name] = server;
      }
      return times;
    },
    stop: async () => {
      await Promise.all(floors.map(({ stop }) => stop()));
    },
  };
}

type KoaMeasuring = Pick<MeasuringInput, 'seconds' | 'connections' | 'ratePerSecond'>;

interface KoaFloor {
  name: KoaFloorName;
  measure: (options: KoaMeasuring) => Promise<Measurement>;
  measureWarm: (options: KoaMeasuring) => Promise<Measurement>;
  stop: () => Promise<void>;
}

async function startKoaFloor(name: KoaFloorName): Promise<KoaFloor> {
  const child = fork(path.join(import.meta.dirname, 'koa-floor.process.ts'), [name]);
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
  const input = (options: KoaMeasuring): MeasuringInput => ({
    name: KOA_FLOORS[name],
    url: `http://127.0.0.1:${port}`,
    processorTimes: async () => ({
      server: timesOf((await listProcesses()).filter(({ pid }) => pid === child.pid)),
    }),
    ...options,
  });
  return {
    name,
    measure: (options) => measure(load, input(options)),
    measureWarm: (options) => measureWarm(load, input(options)),
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
