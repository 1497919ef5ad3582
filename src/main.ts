/**
 * The server as a process: reads the configuration, listens, says where, and ends in order on SIGTERM or SIGINT. What it
 * is made of stands in app.ts.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { hasPrintedPassword } from './accounts/first-administrator.ts';
import { createServer, type Server } from './app.ts';
import { loadConfig, type LoadResult } from './config/load.ts';
import { formatProblems, type Problem } from './config/problem.ts';
import { productionNotices } from './config/production-rules.ts';
import type { Config } from './config/schema.ts';
import { AppError } from './platform/errors.ts';
import { createLogger, type Logger } from './platform/logger.ts';
import { openState } from './state.ts';

const ROOT = path.join(import.meta.dirname, '..');

const CONFIG_DIRECTORY = path.join(ROOT, 'config');

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}

/** Runs until a signal ends it. Exits with 0 after an orderly stop, 1 where it cannot start or lost its database. */
export async function runServer(): Promise<void> {
  const loaded = loadConfig({ configDirectory: CONFIG_DIRECTORY });
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

  const signals = stopOnSignals(logger);
  const startedAt = performance.now();
  let server: Server;
  try {
    server = await createServer({
      config,
      logger,
      version: readVersion(),
      onProgress: say,
      signal: signals.interruption,
      onLost: (error) => {
        logger.fatal({ err: error }, 'the embedded database was lost to another server');
        process.exit(1);
      },
    });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (signals.interruption.aborted) process.exit(0);
    process.stderr.write(`\nGatehouse did not start: ${error.message}\n`);
    if (error.cause instanceof Error) process.stderr.write(`  (${error.cause.message})\n`);
    process.exit(1);
  }
  announce(server, config, logger, performance.now() - startedAt);
  signals.stopWith(server);
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

function announce(server: Server, config: Config, logger: Logger, tookMs: number): void {
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

/**
 * Before the server is ready a signal only says that it shall not be: what has begun is closed in order. Afterwards the
 * first one stops it, and more of them change nothing.
 */
function stopOnSignals(logger: Logger): { interruption: AbortSignal; stopWith: (server: Server) => void } {
  const interruption = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (interruption.signal.aborted) return;
      logger.info({ signal }, 'stopping');
      interruption.abort();
    });
  }
  const stop = (server: Server): void => {
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
