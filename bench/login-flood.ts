/** Promise 4: a login flood never slows the tokens. The same load of token requests, alone and beside a flood. */
import { fork } from 'node:child_process';
import path from 'node:path';

import type { FloodOrder, FloodReport } from './flood.process.ts';
import { measure, type Measurement, WARM_UP_SHARE } from './measure.ts';
import type { Population } from './preparation.ts';
import { clientCredentials } from './scenarios.ts';
import type { SetUp } from './set-ups.ts';

/** Few, so that the latency is the server's and not that of a queue which the load itself makes. */
const TOKEN_CONNECTIONS = 2;
const RAMP_MS = 500;

export interface FloodMeasurement {
  /** Sign-ins under way at any time; 0 for the idle server. */
  flooding: number;
  signInsPerSecond: number;
  busyPerSecond: number;
  tokens: Measurement;
  failures: number;
  firstFailure?: string;
}

export async function measureLoginFlood(
  { setUp, population }: { setUp: SetUp; population: Population },
  { seconds, floods }: { seconds: number; floods: readonly number[] },
): Promise<FloodMeasurement[]> {
  const measureTokens = (): Promise<Measurement> =>
    measure(clientCredentials(population), {
      name: 'client_credentials',
      url: setUp.issuer,
      seconds,
      connections: TOKEN_CONNECTIONS,
      processorTimes: setUp.processorTimes,
    });

  const results: FloodMeasurement[] = [
    { flooding: 0, signInsPerSecond: 0, busyPerSecond: 0, tokens: await measureTokens(), failures: 0 },
  ];
  for (const flooding of floods) {
    const order = { url: setUp.issuer, population, connections: flooding };
    // Long enough to be there from before the warm-up until after the last token.
    const flood = startFlood({ ...order, seconds: seconds * (1.25 + WARM_UP_SHARE) + (2 * RAMP_MS) / 1000 });
    try {
      await new Promise((resolve) => setTimeout(resolve, RAMP_MS));
      const tokens = await measureTokens();
      results.push({ flooding, tokens, ...(await flood.report) });
    } finally {
      await flood.end();
    }
  }
  return results;
}

function startFlood(order: FloodOrder): { report: Promise<FloodReport>; end: () => Promise<void> } {
  const child = fork(path.join(import.meta.dirname, 'flood.process.ts'));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const report = new Promise<FloodReport>((resolve, reject) => {
    child.once('message', (message) => resolve(message as FloodReport));
    child.once('exit', (code) => reject(new Error(`the flood ended with ${code}`)));
  });
  report.catch(() => {});
  child.send(order);
  return {
    report,
    end: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
