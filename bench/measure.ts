import { type Load, percentile, runLoad } from './load.ts';
import { timeBetween, type Times } from './processor-time.ts';
import { type Part, PARTS } from './set-ups.ts';

export interface Measurement {
  name: string;
  operations: number;
  failures: number;
  firstFailure?: string;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Processor time for one operation, in microseconds; absent where it cannot be seen. */
  cpuMicroseconds: Partial<Record<Part, number>>;
  /** When it was measured, by the clock that `process.hrtime` reads, in microseconds: to find it in a profile. */
  window: { from: number; to: number };
}

/**
 * Code that runs for the first seconds is slower than what a server runs all day: a machine's JWT takes twice as much
 * processor time in the first five seconds as from then on. As long a warm-up as the measurement, then.
 */
export const WARM_UP_SHARE = 1;

export interface MeasuringInput {
  name: string;
  url: string;
  seconds: number;
  connections: number;
  /** Requests, where fewer are to be sent than could be. */
  ratePerSecond?: number | undefined;
  processorTimes: () => Promise<Partial<Record<Part, Times>>>;
}

/** Warms up, then measures. What limited material there is, is shared between the two. */
export async function measure(load: Load, input: MeasuringInput): Promise<Measurement> {
  const { rest } = await warmUp(load, input);
  return measureWarm(rest, input);
}

/** @returns how many requests a second there were, and the material that is left */
export async function warmUp(
  load: Load,
  { url, seconds, connections, ratePerSecond }: MeasuringInput,
): Promise<{ requestsPerSecond: number; rest: Load }> {
  const { operations, steps } = load;
  const share =
    operations === undefined ? undefined : Math.ceil((operations * WARM_UP_SHARE) / (1 + WARM_UP_SHARE));
  const { operations: done, elapsedSeconds } = await runLoad(
    share === undefined ? load : { ...load, operations: share },
    { url, connections, ratePerSecond, seconds: seconds * WARM_UP_SHARE },
  );
  return {
    requestsPerSecond: (done * steps.length) / elapsedSeconds,
    rest:
      operations === undefined || share === undefined ? load : { ...load, operations: operations - share },
  };
}

/** Measures what was warmed up before. */
export async function measureWarm(load: Load, input: MeasuringInput): Promise<Measurement> {
  const { name, url, seconds, connections, ratePerSecond, processorTimes } = input;
  const before = await processorTimes();
  const from = monotonicMicroseconds();
  const result = await runLoad(load, { url, connections, ratePerSecond, seconds });
  const to = monotonicMicroseconds();
  const after = await processorTimes();

  const cpuMicroseconds: Measurement['cpuMicroseconds'] = {};
  for (const part of PARTS) {
    const [earlier, later] = [before[part], after[part]];
    const spent = earlier && later ? timeBetween(earlier, later) : undefined;
    if (spent !== undefined) cpuMicroseconds[part] = spent / result.operations;
  }
  return {
    name,
    operations: result.operations,
    failures: result.failures,
    ...(result.firstFailure === undefined ? {} : { firstFailure: result.firstFailure }),
    perSecond: result.operations / result.elapsedSeconds,
    p50Ms: percentile(result.latenciesMs, 0.5),
    p99Ms: percentile(result.latenciesMs, 0.99),
    cpuMicroseconds,
    window: { from, to },
  };
}

function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
