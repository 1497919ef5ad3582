/**
 * `npm run bench`: what a request costs, on the embedded set-up and on PostgreSQL + Redis, beside two floors measured
 * in the same run. How to read what it prints is in README.md.
 */
import { writeFile } from 'node:fs/promises';

import { type KoaFloors, type KoaTimes, measureHashing, startKoaFloors } from './floors.ts';
import type { Load } from './load.ts';
import { measureLoginFlood } from './login-flood.ts';
import { describeMachine, describePostgres, describeRedis } from './machine.ts';
import { measureWarm, type MeasuringInput, warmUp } from './measure.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { populate } from './preparation.ts';
import { formatProfile, readProfile, summarise } from './profile.ts';
import {
  formatHashing,
  formatMachine,
  formatSetUp,
  formatWorkers,
  listFailures,
  type MeasuredScenario,
  type Report,
  type SetUpReport,
} from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { createTestServices, type TestServices } from './services.ts';
import { SET_UPS, type SetUpName, startSetUp } from './set-ups.ts';
import { measureWorkers } from './workers.ts';

const LOGIN_FLOOD = 'login-flood';
const HASHING = 'argon2';
const WORKERS = 'workers';
const FLOODS = [16, 64];
/** Of the time that is measured, so much again for each floor before it, and after it. */
const FLOOR_SHARE = 0.25;

let options: BenchOptions | undefined;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  say(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (options) process.exitCode = await main(options);

/** @throws TypeError for arguments that it does not know */
function readOptions(args: string[]): BenchOptions {
  const parsed = parseOptions(args);
  const names = [...SCENARIOS.map(({ name }) => name), LOGIN_FLOOD, HASHING, WORKERS];
  requireKnown('--only', parsed.only, names);
  requireKnown('--on', parsed.on, SET_UPS);
  return parsed;
}

function requireKnown(option: string, given: readonly string[], known: readonly string[]): void {
  const unknown = given.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new TypeError(`${option} ${unknown} is not known: choose from ${known.join(', ')}`);
}

async function main(options: BenchOptions): Promise<number> {
  const { seconds, connections } = options;
  const report: Report = {
    machine: describeMachine(),
    seconds,
    connections,
    hashing: undefined,
    setUps: [],
    workers: [],
  };
  print(formatMachine(report.machine));
  print(`${connections} connections for ${seconds} s each, after a warm-up\n`);

  const services = createTestServices(process.env, say);
  // A Ctrl-C reaches the servers too, which end by themselves; what is ours is stopped here, once.
  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (isInterrupted = true));
  try {
    if (isWanted(options, HASHING)) {
      report.hashing = await measureHashing({ seconds });
      print(`${formatHashing(report.hashing)}\n`);
    }
    for (const name of SET_UPS) {
      if (isInterrupted || (options.on.length > 0 && !options.on.includes(name))) continue;
      if (options.only.length > 0 && options.only.every((wanted) => wanted === WORKERS)) continue;
      const setUp = await measureSetUp(name, options, services, () => isInterrupted);
      report.setUps.push(setUp);
      print(formatSetUp(setUp));
    }
    const isOnRedis = options.on.length === 0 || options.on.includes('redis');
    if (isWanted(options, WORKERS) && isOnRedis && !isInterrupted) {
      report.workers = await measureWorkers(services, { seconds, isInterrupted: () => isInterrupted });
      print(formatWorkers(report.workers));
    }
  } finally {
    await services.stop();
  }
  if (options.jsonFile !== undefined)
    await writeFile(options.jsonFile, `${JSON.stringify(report, undefined, 2)}\n`);
  const failures = listFailures(report);
  for (const failure of failures) say(failure);
  return failures.length > 0 || isInterrupted ? 1 : 0;
}

function isWanted({ only }: BenchOptions, name: string): boolean {
  return only.length === 0 || only.includes(name);
}

async function measureSetUp(
  name: SetUpName,
  options: BenchOptions,
  services: TestServices,
  isInterrupted: () => boolean,
): Promise<SetUpReport> {
  const { seconds, connections, workers, profileDirectory, isQuick } = options;
  const koa = await startKoaFloors();
  const setUp = await startSetUp(name, { services, profileDirectory, workers }).catch(
    async (error: unknown) => {
      await koa.stop();
      throw error;
    },
  );
  let report: SetUpReport;
  try {
    const floors = await koa.measure({ seconds, connections });
    const population = await populate(setUp);
    report = {
      name,
      stores: await describeStores(name, services),
      floors,
      scenarios: [],
      loginFlood: [],
    };
    for (const { name: scenario, prepare, leastSeconds = 0 } of SCENARIOS) {
      if (isInterrupted() || !isWanted(options, scenario)) continue;
      const load = await prepare({ setUp, population, seconds, connections });
      const { issuer: url, processorTimes } = setUp;
      const applied = { url, connections, processorTimes, seconds: Math.max(seconds, leastSeconds) };
      report.scenarios.push(
        await measureBesideKoa(load, { name: scenario, ...applied }, isQuick ? undefined : koa),
      );
    }
    if (isWanted(options, LOGIN_FLOOD) && !isInterrupted()) {
      const floods = isQuick ? FLOODS.slice(0, 1) : FLOODS;
      report.loginFlood = await measureLoginFlood({ setUp, population }, { seconds, floods });
    }
  } finally {
    await koa.stop();
    await setUp.stop();
  }
  await printProfile(options, setUp.pid, report);
  return report;
}

/**
 * With what Koa alone takes for as many requests a second, right before and right after: neighbours come and go, and
 * flat out Koa takes many requests from each turn of the event loop, as nothing that does more can.
 */
async function measureBesideKoa(
  load: Load,
  input: MeasuringInput,
  koa: KoaFloors | undefined,
): Promise<MeasuredScenario> {
  const { requestsPerSecond, rest } = await warmUp(load, input);
  const times = (): Promise<KoaTimes> | undefined =>
    koa?.timesAt(requestsPerSecond, {
      seconds: input.seconds * FLOOR_SHARE,
      connections: input.connections,
    });
  const before = await times();
  const measured = await measureWarm(rest, input);
  return { ...measured, koa: [before, await times()].filter((each) => each !== undefined) };
}

/** The server writes its profile when it has ended. */
async function printProfile(
  { profileDirectory }: BenchOptions,
  pid: number,
  report: SetUpReport,
): Promise<void> {
  const profile = profileDirectory === undefined ? undefined : await readProfile(profileDirectory, pid);
  if (!profile) return;
  for (const { name, window } of report.scenarios)
    print(formatProfile(`${report.name} ${name}`, summarise(profile, window)));
}

async function describeStores(name: SetUpName, services: TestServices): Promise<string> {
  if (name === 'embedded') return 'the embedded PostgreSQL alone';
  const { databaseUrl, redisUrl } = await services.start();
  return `${await describePostgres(databaseUrl)} + ${await describeRedis(redisUrl)}`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
