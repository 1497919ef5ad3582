/**
 * One load on one server: a fixed number of connections, each asking again as soon as it was answered. autocannon
 * sends; times are taken from its events, because its own histogram knows whole milliseconds only.
 */
import autocannon from 'autocannon';

/** What the steps of one operation pass to each other. */
export type Memory = Record<string, unknown>;

export interface Answer {
  status: number;
  body: string;
  /** By lower-case name; several of one name as an array. */
  headers: Record<string, string | string[]>;
}

export interface Request {
  method: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
  body?: string;
}

export interface Step {
  request: (memory: Memory) => Request;
  /** Whether this is the answer that was hoped for; it may keep something of it for the steps that follow. */
  accept: (answer: Answer, memory: Memory) => boolean;
}

/** What one operation is: one request, or several that build upon each other. */
export interface Load {
  steps: readonly Step[];
  /** How many operations there is material for, where that is limited. */
  operations?: number;
}

export interface LoadResult {
  operations: number;
  failures: number;
  /** The first answer that was not hoped for, so that one can see why. */
  firstFailure?: string;
  elapsedSeconds: number;
  /** Milliseconds of each operation, in ascending order. */
  latenciesMs: number[];
}

/**
 * Ends after `seconds` at the latest, or when the operations are used up.
 *
 * @param input.ratePerSecond requests, where fewer are to be sent than could be
 */
export async function runLoad(
  load: Load,
  {
    url,
    connections,
    seconds,
    ratePerSecond,
  }: { url: string; connections: number; seconds: number; ratePerSecond?: number | undefined },
): Promise<LoadResult> {
  const { steps } = load;
  const latenciesMs: number[] = [];
  const progress = new WeakMap<object, { step: number; elapsedMs: number }>();
  let failures = 0;
  let firstFailure: string | undefined;
  let lastAnswerAt = performance.now();

  const startedAt = performance.now();
  const run = autocannon({
    url,
    connections,
    sampleInt: 50,
    ...(ratePerSecond === undefined ? {} : { overallRate: ratePerSecond }),
    ...(load.operations === undefined ? { duration: seconds } : { amount: load.operations * steps.length }),
    requests: steps.map(({ request, accept }) => ({
      setupRequest: (_request, memory) => ({ headers: {}, ...request(memory) }),
      onResponse: (status, body, memory, headers) => {
        const lowerCase = Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
        );
        if (accept({ status, body, headers: lowerCase }, memory)) return;
        failures += 1;
        firstFailure ??= `${status} ${body.slice(0, 300)}`;
      },
    })),
  });
  run.on('response', (client: object, _status: number, _bytes: number, durationMs: number) => {
    lastAnswerAt = performance.now();
    const { step, elapsedMs } = progress.get(client) ?? { step: 0, elapsedMs: 0 };
    if (step + 1 < steps.length) {
      progress.set(client, { step: step + 1, elapsedMs: elapsedMs + durationMs });
      return;
    }
    progress.set(client, { step: 0, elapsedMs: 0 });
    latenciesMs.push(elapsedMs + durationMs);
  });
  const limit = setTimeout(() => run.stop(), seconds * 1000);
  const { errors } = await Promise.resolve(run).finally(() => clearTimeout(limit));

  return {
    operations: latenciesMs.length,
    failures: failures + errors,
    ...(firstFailure === undefined && errors === 0
      ? {}
      : { firstFailure: firstFailure ?? 'connections broke or timed out' }),
    elapsedSeconds: (lastAnswerAt - startedAt) / 1000,
    latenciesMs: latenciesMs.sort((a, b) => a - b),
  };
}

/** @param sorted in ascending order */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
