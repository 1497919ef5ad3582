/** Signs in as fast as it is answered, until it is told to stop; then says how often it succeeded. */
import { runLoad } from './load.ts';
import type { Population } from './preparation.ts';
import { signIn } from './scenarios.ts';

export interface FloodOrder {
  url: string;
  population: Population;
  connections: number;
  seconds: number;
}

export interface FloodReport {
  signInsPerSecond: number;
  /** How often the server said at once that it has no capacity. */
  busyPerSecond: number;
  failures: number;
  firstFailure?: string;
}

process.once('message', (order: FloodOrder) => {
  void flood(order);
});
process.on('disconnect', () => process.exit(0));

async function flood({ population, ...options }: FloodOrder): Promise<void> {
  let busy = 0;
  const load = signIn(population, () => {
    busy += 1;
  });
  const { operations, failures, firstFailure, elapsedSeconds } = await runLoad(load, options);
  const report: FloodReport = {
    signInsPerSecond: (operations - busy - failures) / elapsedSeconds,
    busyPerSecond: busy / elapsedSeconds,
    failures,
    ...(firstFailure === undefined ? {} : { firstFailure }),
  };
  process.send?.(report);
}
