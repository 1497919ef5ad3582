/**
 * What a second worker costs: one process and two, each process with the same load, so that two get twice as much. Flat
 * out nothing could be told on two cores, which PostgreSQL, Redis and the sender share: they are full with one.
 */
import { measure, type Measurement } from './measure.ts';
import { type Population, populate } from './preparation.ts';
import { SCENARIOS } from './scenarios.ts';
import type { TestServices } from './services.ts';
import { type SetUp, startSetUp } from './set-ups.ts';

const MEASURED: ReadonlySet<string> = new Set(['introspection', 'machine-jwt', 'refresh-eddsa']);
const CONNECTIONS_PER_WORKER = 16;
/** Of what one process does flat out, so that two, and all that works for them, find room. */
const SHARE_OF_CAPACITY = 0.25;
/** In turn, for neighbours come and go. */
const ROUNDS = 3;

export interface WorkersMeasurement {
  name: string;
  /** By the number of workers: the middle one of several measurements. */
  byWorkers: { workers: number; measured: Measurement }[];
  failures: number;
  firstFailure?: string | undefined;
}

export async function measureWorkers(
  services: TestServices,
  { seconds, isInterrupted }: { seconds: number; isInterrupted: () => boolean },
): Promise<WorkersMeasurement[]> {
  const stops: (() => Promise<void>)[] = [];
  try {
    const sides: { workers: number; setUp: SetUp; population: Population }[] = [];
    for (const workers of [1, 2]) {
      const setUp = await startSetUp('redis', { services, profileDirectory: undefined, workers });
      stops.push(setUp.stop);
      sides.push({ workers, setUp, population: await populate(setUp) });
    }
    const results: WorkersMeasurement[] = [];
    for (const { name, prepare } of SCENARIOS.filter((scenario) => MEASURED.has(scenario.name))) {
      if (isInterrupted()) break;
      // Prepared anew each time: a load loses the credentials that are under way when it ends.
      const measureOn = async (
        side: (typeof sides)[number],
        ratePerSecond?: number,
      ): Promise<Measurement> => {
        const { setUp, population, workers } = side;
        const connections = CONNECTIONS_PER_WORKER * workers;
        const load = await prepare({ setUp, population, seconds, connections });
        const on = { url: setUp.issuer, processorTimes: setUp.processorTimes };
        return measure(load, { name, seconds, connections, ratePerSecond, ...on });
      };
      // Both, so that both are warm.
      const flatOut: Measurement[] = [];
      for (const side of sides) flatOut.push(await measureOn(side));
      const rate = (flatOut[0]?.perSecond ?? 0) * SHARE_OF_CAPACITY;
      const rounds: { workers: number; measured: Measurement }[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const side of sides) {
          const measured = await measureOn(side, rate * side.workers);
          rounds.push({ workers: side.workers, measured });
        }
      }
      results.push(summary(name, rounds));
    }
    return results;
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

function summary(
  name: string,
  rounds: readonly { workers: number; measured: Measurement }[],
): WorkersMeasurement {
  const costOf = ({ measured }: (typeof rounds)[number]): number =>
    measured.cpuMicroseconds.server ?? Number.NaN;
  const byWorkers = [1, 2].flatMap((workers) => {
    const own = rounds.filter((round) => round.workers === workers).toSorted((a, b) => costOf(a) - costOf(b));
    const middle = own[Math.floor(own.length / 2)];
    return middle ? [middle] : [];
  });
  const failed = rounds.filter(({ measured }) => measured.failures > 0);
  return {
    name,
    byWorkers,
    failures: failed.reduce((sum, { measured }) => sum + measured.failures, 0),
    firstFailure: failed[0]?.measured.firstFailure,
  };
}
