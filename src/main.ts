/**
 * The server as a process: reads the configuration, listens, says where, and ends in order on SIGTERM or SIGINT. What it
 * is made of stands in app.ts.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { hasPrintedPassword } from './accounts/first-administrator.ts';
import { createServer, type Server, type ServerOptions } from './app.ts';
import { parseListen } from './config/formats.ts';
import { loadConfig, type LoadResult } from './config/load.ts';
import { formatProblems, type Problem } from './config/problem.ts';
import { productionNotices } from './config/production-rules.ts';
import type { Config } from './config/schema.ts';
import { CAN_SHARE_ADDRESS, requireFree } from './http/listener.ts';
import { serveMetrics } from './ops/metrics-server.ts';
import { AppError } from './platform/errors.ts';
import { createLogger, type Logger } from './platform/logger.ts';
import { createWorkerMetrics } from './platform/metrics.ts';
import { openState } from './state.ts';
import type { FirstWorker } from './workers/messages.ts';
import { createWorkers } from './workers/primary.ts';
import { askForAssignment, isWorker, tellReady } from './workers/worker.ts';

const ROOT = path.join(import.meta.dirname, '..');

const CONFIG_DIRECTORY = path.join(ROOT, 'config');
const LAUNCHER = path.join(ROOT, 'bin', 'gatehouse.mjs');
/** Beyond what the settings give a stop: for closing what was opened. */
const STOP_MARGIN_SECONDS = 15;

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}

/**
 * Runs until a signal ends it. Exits with 0 after an orderly stop, 1 where it cannot start or lost its database.
 *
 * @param options.workers instead of the setting; with more than one, this process starts them and serves nothing itself
 */
export async function runServer(options: { workers?: number } = {}): Promise<void> {
  const loaded = loadConfig({ configDirectory: CONFIG_DIRECTORY });
  if (isWorker()) return runWorker(loaded);
  if (loaded.kind === 'problems')
    return refuse([...loaded.problems, ...(await problemsOfState(loaded.draft?.config))]);
  const { config } = loaded;
  const stateProblems = config.env === 'production' ? await problemsOfState(config) : [];
  if (stateProblems.length > 0) return refuse(stateProblems);

  const logger = createLogger({ level: config.log.level, format: config.log.format });
  for (const { setting, message, remedy } of noticesOf(loaded))
    logger.warn({ setting }, `${message} ${remedy}`);
  const say = (message: string): void => {
    if (config.log.format === 'pretty') process.stdout.write(`  ${message}\n`);
    else logger.info(message);
  };

  const running = { config, logger, say, signals: stopOnSignals(logger) };
  const count = options.workers ?? config.workers;
  const startedAt = performance.now();
  const server = await orRefuse(running, () =>
    count === 1 ? createServer(serverOptions(running)) : startWorkers(running, count),
  );
  announce(server, config, logger, performance.now() - startedAt);
  running.signals.stopWith(server);
}

interface Running {
  config: Config;
  logger: Logger;
  /** To whoever watches the start. */
  say?: (message: string) => void;
  signals: Signals;
}

function serverOptions({ config, logger, say, signals }: Running): ServerOptions {
  return {
    config,
    logger,
    version: readVersion(),
    ...(say ? { onProgress: say } : {}),
    signal: signals.interruption,
    onLost: (error) => {
      logger.fatal({ err: error }, 'the embedded database was lost to another server');
      process.exit(1);
    },
  };
}

/** One of several; what there is to say is said by the process that started it, which has checked the settings. */
async function runWorker(loaded: LoadResult): Promise<void> {
  if (loaded.kind === 'problems') return refuse(loaded.problems);
  const { config } = loaded;
  const logger = createLogger({ level: config.log.level, format: config.log.format });
  const running = { config, logger, signals: stopOnSignals(logger) };
  const worker = await askForAssignment();
  const server = await orRefuse(running, () => createServer({ ...serverOptions(running), worker }));
  const { url, address, firstAdministrator, demo } = server;
  tellReady({ url, address, firstAdministrator, demo });
  return running.signals.stopWith(server);
}

/** They are one server to whoever started it. The embedded database is this process's own, so that it outlives each. */
async function startWorkers(running: Running, count: number): Promise<FirstWorker & Pick<Server, 'stop'>> {
  const { config, logger, signals } = running;
  await requireFree({ port: config.port, address: config.listenAddress });
  const state = await openState(serverOptions(running));
  const workers = createWorkers({
    count,
    launch: { script: LAUNCHER, args: ['start'] },
    canShareAddress: CAN_SHARE_ADDRESS,
    logger,
  });
  const { drainSeconds, graceSeconds } = config.shutdown;
  const stopWorkers = (): Promise<boolean> => workers.stop(drainSeconds + graceSeconds + STOP_MARGIN_SECONDS);
  const interrupt = (): void => void stopWorkers();
  signals.interruption.addEventListener('abort', interrupt);
  try {
    const first = await workers.start();
    const closeMetrics = await serveMetrics({
      metrics: createWorkerMetrics(),
      listen: parseListen(config.metrics.listen ?? ''),
      logger,
    });
    signals.interruption.removeEventListener('abort', interrupt);
    return {
      ...first,
      stop: async () => {
        const isInOrder = await stopWorkers();
        await closeMetrics();
        await state.close();
        if (!isInOrder) throw new Error('not every worker ended in order');
      },
    };
  } catch (error) {
    await stopWorkers();
    await state.close();
    throw new AppError('worker_failed', 500, (error as Error).message, { cause: error });
  }
}

/** What keeps a server from starting, told; anything that is no fault of the settings or the surroundings is thrown. */
async function orRefuse<T>({ signals }: Running, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (signals.interruption.aborted) process.exit(0);
    process.stderr.write(`\nGatehouse did not start: ${error.message}\n`);
    if (error.cause instanceof Error) process.stderr.write(`  (${error.cause.message})\n`);
    return process.exit(1);
  }
}

function noticesOf(loaded: Extract<LoadResult, { kind: 'ok' }>): Problem[] {
  return loaded.config.env === 'production' ? productionNotices(loaded) : [];
}

/** What production refuses and only the running database and Redis can tell. */
async function problemsOfState(config: Config | undefined): Promise<Problem[]> {
  if (config?.env !== 'production' || config.database.url === undefined) return [];
  const logger = createLogger({ level: config.log.level, format: config.log.format });
  try {
    const state = await openState({ config, logger });
    try {
      if (!(await hasPrintedPassword(state.db))) return [];
      return [
        {
          code: 'production_printed_password',
          message: 'The password that was printed for the first administrator is still in use.',
          remedy: 'Set another one: gatehouse users set-password <e-mail> --password-stdin',
        },
      ];
    } finally {
      await state.close();
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [{ code: error.code, message: error.message, remedy: 'Mend that and start again.' }];
  }
}

function refuse(problems: readonly Problem[]): never {
  process.stderr.write(`Gatehouse did not start.\n${formatProblems(problems)}\n`);
  process.exit(1);
}

function announce(server: FirstWorker, config: Config, logger: Logger, tookMs: number): void {
  const { firstAdministrator, demo, url } = server;
  logger.info({ issuer: url, address: server.address.address, port: server.address.port }, 'listening');
  if (config.log.format !== 'pretty') return announceOnce(firstAdministrator);
  const lines = [
    '',
    `  Gatehouse is ready (${(tookMs / 1000).toFixed(1)} s)`,
    '',
    `    Issuer     ${url}`,
    ...demo.map((app) => `    ${app.name.padEnd(10)} ${app.url}   a demo application: sign in here`),
  ];
  if (firstAdministrator?.password !== undefined) {
    lines.push(
      '',
      '    The first administrator, shown this once:',
      `      e-mail     ${firstAdministrator.email}`,
      `      password   ${firstAdministrator.password}`,
    );
  }
  lines.push('', '    Ctrl-C stops it; the data stay.', '', '');
  process.stdout.write(lines.join('\n'));
}

/** Beside JSON logs the password still has to be told once, to whoever watches the first start. */
function announceOnce(administrator: Server['firstAdministrator']): void {
  if (administrator?.password === undefined) return;
  process.stdout.write(`First administrator: ${administrator.email} ${administrator.password}\n`);
}

interface Signals {
  interruption: AbortSignal;
  stopWith: (server: Pick<Server, 'stop'>) => void;
}

/**
 * Before the server is ready a signal only says that it shall not be: what has begun is closed in order. Afterwards the
 * first one stops it, and more of them change nothing.
 */
function stopOnSignals(logger: Logger): Signals {
  const interruption = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (interruption.signal.aborted) return;
      logger.info({ signal }, 'stopping');
      interruption.abort();
    });
  }
  const stop = (server: Pick<Server, 'stop'>): void => {
    server.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.fatal({ err: error }, 'the stop failed');
        process.exit(1);
      },
    );
  };
  return {
    interruption: interruption.signal,
    stopWith: (server) => {
      if (interruption.signal.aborted) stop(server);
      else interruption.signal.addEventListener('abort', () => stop(server));
    },
  };
}
