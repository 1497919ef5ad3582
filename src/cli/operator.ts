import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { Actor } from '../audit/events.ts';
import type { LoadResult } from '../config/load.ts';
import { formatProblems } from '../config/problem.ts';
import type { Config } from '../config/schema.ts';
import { AppError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import type { State } from '../state.ts';
import type { Subjects } from '../subjects.ts';
import { interruptedBy } from './failure.ts';
import { note } from './output.ts';

const CONFIG_DIRECTORY = path.join(import.meta.dirname, '..', '..', 'config');
const CLOSE_TIMEOUT_MS = 5_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What a command works with. */
export interface Operator {
  config: Config;
  state: State;
  subjects: Subjects;
  /** Who it is, for the audit log. */
  by: Actor;
  /** Aborted when the operator interrupts the command. */
  signal: AbortSignal;
}

export async function readConfiguration(): Promise<LoadResult> {
  const { loadConfig } = await import('../config/load.ts');
  return loadConfig({ configDirectory: CONFIG_DIRECTORY });
}

/**
 * Opens what the settings name (beside a running server, or alone), lets the command work, and closes it again.
 *
 * @param mayChange whether the command changes something: then its audit events are chained before it ends, for no
 *   server may be there to do it
 * @throws AppError `invalid_configuration`, or as `openState` and the command do
 */
export async function withOperator(
  work: (operator: Operator) => Promise<void>,
  { mayChange = false }: { mayChange?: boolean } = {},
): Promise<void> {
  const config = await validConfiguration();
  const interruption = watchSignals();
  try {
    // Loaded here: `--help` and misuse are answered without them.
    const [{ createInlineHasher }, { createLogger }, { openState }, { createSubjects }] = await Promise.all([
      import('../accounts/hashing/inline.ts'),
      import('../platform/logger.ts'),
      import('../state.ts'),
      import('../subjects.ts'),
    ]);
    const stream = { write: (line: string) => void process.stderr.write(line) };
    const logger = createLogger({ level: 'warn', format: config.log.format, stream });
    const state = await open({ config, logger, openState, interruption });
    try {
      const { signal } = interruption;
      const subjects = createSubjects({ config, logger, state, hasher: createInlineHasher() });
      try {
        await Promise.race([work({ config, state, subjects, by: whoAmI(), signal }), interruption.happened]);
        if (mayChange) await chainEvents(subjects, logger);
      } finally {
        await subjects.audit.close();
      }
    } finally {
      // What an interrupted command was at does not keep it: connections that are left end with the process.
      await Promise.race([state.close(), ...(interruption.signal.aborted ? [delay(CLOSE_TIMEOUT_MS)] : [])]);
    }
  } finally {
    interruption.stop();
  }
}

async function validConfiguration(): Promise<Config> {
  const loaded = await readConfiguration();
  if (loaded.kind === 'ok') return loaded.config;
  throw new AppError('invalid_configuration', 400, formatProblems(loaded.problems));
}

/** Redis holds what expires, which no command touches: one that is away is not in a command's way. */
function withoutRedis(config: Config): Config {
  const { url: _, ...redis } = config.redis;
  return { ...config, redis };
}

async function open({
  config,
  logger,
  openState,
  interruption,
}: {
  config: Config;
  logger: Logger;
  openState: (typeof import('../state.ts'))['openState'];
  interruption: Interruption;
}): Promise<State> {
  // Only for somebody who watches: to a script, what is on standard error is the failure.
  const onProgress = process.stderr.isTTY ? note : () => {};
  const opening = openState({ config: withoutRedis(config), logger, isCommand: true, onProgress });
  try {
    return await Promise.race([opening, interruption.happened]);
  } catch (error) {
    // A database that we are just starting must not be left behind; one elsewhere is not waited for.
    if (config.database.url === undefined) await opening.then((state) => state.close()).catch(() => {});
    throw error;
  }
}

/** Where it fails the change stands all the same, and the next flush of any server links its event. */
async function chainEvents({ audit }: Subjects, logger: Logger): Promise<void> {
  await audit.link().catch((error: unknown) => logger.warn({ err: error }, 'not chained yet'));
}

function whoAmI(): Actor {
  try {
    return { kind: 'operator', name: os.userInfo().username };
  } catch {
    // In a container the user may have a number and no name.
    return { kind: 'operator', name: `uid ${process.getuid?.() ?? 'unknown'}` };
  }
}

interface Interruption {
  /** Never resolves; rejects with the signal. */
  happened: Promise<never>;
  /** Aborted at the same moment, for work that can stop by itself. */
  signal: AbortSignal;
  stop: () => void;
}

function watchSignals(): Interruption {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    const reason = interruptedBy(signal);
    controller.abort(reason);
    reject(reason);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    happened: promise,
    signal: controller.signal,
    stop: () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}
