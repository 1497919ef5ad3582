import { type HashingFloor, KOA_FLOORS, type KoaFloorName, type KoaTimes } from './floors.ts';
import type { FloodMeasurement } from './login-flood.ts';
import type { Machine } from './machine.ts';
import type { Measurement } from './measure.ts';
import type { SetUpName } from './set-ups.ts';
import type { WorkersMeasurement } from './workers.ts';

const KOA_FLOOR_NAMES = Object.keys(KOA_FLOORS) as KoaFloorName[];

export interface MeasuredScenario extends Measurement {
  /** What Koa alone took for as many requests a second, before and after. */
  koa: KoaTimes[];
}

export interface SetUpReport {
  name: SetUpName;
  stores: string;
  /** Flat out, before everything else. */
  floors: Measurement[];
  scenarios: MeasuredScenario[];
  loginFlood: FloodMeasurement[];
}

export interface Report {
  machine: Machine;
  seconds: number;
  connections: number;
  hashing: HashingFloor | undefined;
  setUps: SetUpReport[];
  workers: WorkersMeasurement[];
}

export function formatMachine({ processor, cores, memoryGib, load, system, node }: Machine): string {
  return `${cores} × ${processor}, ${memoryGib} GiB, load ${load.toFixed(1)} at the start; ${system}; Node ${node}`;
}

export function formatHashing({ workers, parameters, ...floor }: HashingFloor): string {
  const { memoryKib, iterations, parallelism } = parameters;
  const cost =
    floor.cpuMicroseconds === undefined
      ? ''
      : `, ${(floor.cpuMicroseconds / 1000).toFixed(1)} ms of CPU each`;
  return (
    `argon2id m=${memoryKib} t=${iterations} p=${parallelism}, ${workers} processes: ` +
    `${floor.verificationsPerSecond.toFixed(1)} verifications/s${cost}`
  );
}

export function formatSetUp({ name, stores, floors, scenarios, loginFlood }: SetUpReport): string {
  const row = (each: Measurement, behind: readonly string[]): string[] => [
    each.name,
    each.perSecond.toFixed(0),
    milliseconds(each.p50Ms),
    milliseconds(each.p99Ms),
    micro(each.cpuMicroseconds.server),
    ...behind,
    each.failures === 0 ? '' : `${each.failures} FAILED`,
  ];
  const rows = scenarios.map((each) => {
    const { server, hashing, postgres, redis } = each.cpuMicroseconds;
    const multiples = KOA_FLOOR_NAMES.map((floor) => multipleOf(each.koa, floor, server));
    return row(each, [...multiples, micro(hashing), micro(postgres), micro(redis)]);
  });
  const heads = [
    '',
    '/s',
    'p50 ms',
    'p99 ms',
    'CPU µs',
    '× Koa',
    '× koa-body',
    'hashing µs',
    'PostgreSQL µs',
    'Redis µs',
    '',
  ];
  const floorRows = floors.map((each) => row(each, ['', '', '', '', '']));
  const flood = loginFlood.map(({ flooding, signInsPerSecond, busyPerSecond, tokens, failures }) => [
    flooding === 0 ? 'idle' : `${flooding} sign-ins at once`,
    tokens.perSecond.toFixed(0),
    milliseconds(tokens.p50Ms),
    milliseconds(tokens.p99Ms),
    flooding === 0 ? '' : signInsPerSecond.toFixed(0),
    flooding === 0 ? '' : busyPerSecond.toFixed(0),
    failures + tokens.failures === 0 ? '' : `${failures + tokens.failures} FAILED`,
  ]);
  const floodHeads = ['token endpoint while', 'tokens/s', 'p50 ms', 'p99 ms', 'sign-ins/s', 'busy/s', ''];
  return [
    `${name}: ${stores}`,
    '',
    formatTable([heads, ...floorRows, ...rows]),
    ...(flood.length > 0 ? ['', formatTable([floodHeads, ...flood])] : []),
    '',
  ].join('\n');
}

/** How many times as much as Koa alone takes for the same number of requests. */
function multipleOf(koa: readonly KoaTimes[], floor: KoaFloorName, microseconds: number | undefined): string {
  const times = koa.map((each) => each[floor]).filter((each) => each !== undefined);
  if (times.length === 0 || microseconds === undefined || !Number.isFinite(microseconds)) return '–';
  const mean = times.reduce((sum, each) => sum + each, 0) / times.length;
  return (microseconds / mean).toFixed(1);
}

export function formatWorkers(measured: readonly WorkersMeasurement[]): string {
  const heads = [
    'the same load for each worker',
    '/s',
    'p50 ms',
    'CPU µs',
    'growth',
    'PostgreSQL µs',
    'Redis µs',
    '',
  ];
  const rows = measured.flatMap(({ name, byWorkers, failures }) => {
    const alone = byWorkers[0]?.measured.cpuMicroseconds.server;
    return byWorkers.map(({ workers, measured: { perSecond, p50Ms, cpuMicroseconds } }) => {
      const { server, postgres, redis } = cpuMicroseconds;
      return [
        `${name}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
        perSecond.toFixed(0),
        milliseconds(p50Ms),
        micro(server),
        workers === 1 || server === undefined || !alone ? '' : `${(100 * (server / alone - 1)).toFixed(0)} %`,
        micro(postgres),
        micro(redis),
        failures === 0 ? '' : `${failures} FAILED`,
      ];
    });
  });
  return `${formatTable([heads, ...rows])}\n`;
}

/** Everything that went wrong, with the first answer of each. */
export function listFailures({ setUps, workers }: Report): string[] {
  const ofWorkers = workers
    .filter(({ failures }) => failures > 0)
    .map(({ name, failures, firstFailure }) => `workers, ${name}: ${failures} failed, first ${firstFailure}`);
  const ofSetUps = setUps.flatMap(({ name, floors, scenarios, loginFlood }) =>
    [
      ...floors,
      ...scenarios,
      ...loginFlood.map(({ tokens }) => tokens),
      ...loginFlood.map((flood) => ({ ...flood, name: `${flood.flooding} sign-ins at once` })),
    ]
      .filter(({ failures }) => failures > 0)
      .map((each) => `${name}, ${each.name}: ${each.failures} failed, first ${each.firstFailure}`),
  );
  return [...ofSetUps, ...ofWorkers];
}

function milliseconds(value: number): string {
  return Number.isFinite(value) ? value.toFixed(value < 10 ? 2 : 0) : '–';
}

function micro(value: number | undefined): string {
  return value !== undefined && Number.isFinite(value) ? value.toFixed(0) : '–';
}

function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
