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
  /** Of bare Koa, measured right before and right after: neighbours come and go. In microseconds. */
  floorMicroseconds?: number | undefined;
  /** When it was measured, by the clock that `process.hrtime` reads, in microseconds: to find it in a profile. */
  window: { from: number; to: number };
}

/** Code that runs for the first seconds is slower than what a server runs all day. */
export const WARM_UP_SHARE = 0.5;

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
  const { name, url, seconds, connections, ratePerSecond, processorTimes } = input;
  const { operations } = load;
  const forWarmUp = operations === undefined ? undefined : Math.ceil(operations * WARM_UP_SHARE);
  await runLoad(forWarmUp === undefined ? load : { ...load, operations: forWarmUp }, {
    url,
    connections,
    ratePerSecond,
    seconds: seconds * WARM_UP_SHARE,
  });

  const before = await processorTimes();
  const from = monotonicMicroseconds();
  const result = await runLoad(
    operations === undefined || forWarmUp === undefined
      ? load
      : { ...load, operations: operations - forWarmUp },
    { url, connections, ratePerSecond, seconds },
  );
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
