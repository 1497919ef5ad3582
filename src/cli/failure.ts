import { CommanderError } from 'commander';

import { AppError } from '../platform/errors.ts';
import { inOptions } from './client-help.ts';

export const EXIT_DONE = 0;
export const EXIT_REFUSED = 1;
const EXIT_MISUSED = 2;

const MISUSED = 'misused';
const INTERRUPTED = 'interrupted';
const EXIT_BY_SIGNAL: Readonly<Record<string, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** What the operator is told, and what the process ends with. */
export interface Failure {
  /** Stable, snake_case, for machines. */
  code: string;
  /** One or two sentences, with what to do. */
  message: string;
  exitCode: number;
}

/** The command was called in a way that it does not understand; nothing was done. */
export function misuse(message: string): AppError {
  return new AppError(MISUSED, 400, message);
}

export function interruptedBy(signal: NodeJS.Signals): AppError {
  return new AppError(INTERRUPTED, 499, 'Interrupted.', { cause: signal });
}

export async function describeFailure(error: unknown): Promise<Failure> {
  if (error instanceof CommanderError) {
    return { code: MISUSED, message: plainUsageMessage(error), exitCode: EXIT_MISUSED };
  }
  if (error instanceof AppError) {
    const { code, message, cause } = error;
    if (code === MISUSED) return { code, message, exitCode: EXIT_MISUSED };
    if (code === INTERRUPTED)
      return { code, message, exitCode: EXIT_BY_SIGNAL[String(cause)] ?? EXIT_REFUSED };
    if (code === 'invalid_client') return { code, message: inOptions(message), exitCode: EXIT_REFUSED };
    const reason = code === 'not_reachable' && cause instanceof Error ? ` (${cause.message})` : '';
    return { code, message: `${message}${reason}`, exitCode: EXIT_REFUSED };
  }
  const detail = error instanceof Error ? error.message || error.name : String(error);
  // Loaded here: misuse, the commonest failure, is answered without it.
  const { isDatabaseUnavailable } = await import('../platform/database.ts');
  if (isDatabaseUnavailable(error)) {
    const message = `The database does not answer (${detail}). Try again when it does; \`gatehouse config check\` shows which one is meant.`;
    return { code: 'database_unavailable', message, exitCode: EXIT_REFUSED };
  }
  return { code: 'failed', message: `The command failed: ${detail}`, exitCode: EXIT_REFUSED };
}

/** `error: unknown option '--emial'\n(Did you mean --email?)` → `Unknown option '--emial'. Did you mean --email?` */
function plainUsageMessage({ message }: CommanderError): string {
  const [first = '', ...rest] = message
    .replace(/^error: /, '')
    .split('\n')
    .map((line) => line.trim().replace(/^\((.*)\)$/, '$1'))
    .filter((line) => line !== '');
  const sentence = `${first.charAt(0).toUpperCase()}${first.slice(1)}`;
  const help = rest.length === 0 && sentence.startsWith('Unknown ') ? ['--help lists what there is.'] : [];
  // `-i2Hpu…`, an id: thumbprints may begin so.
  if (/^Unknown option '-[^-]{2}/.test(sentence)) help.push('A value that begins with - goes after --.');
  return [/[.?!]$/.test(sentence) ? sentence : `${sentence}.`, ...rest, ...help].join(' ');
}
