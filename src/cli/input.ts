import { readFile } from 'node:fs/promises';

import { InvalidArgumentError, type Command } from 'commander';

import { AppError } from '../platform/errors.ts';
import { misuse } from './failure.ts';

const MAX_SECRET_BYTES = 64 * 1024;
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** Adds `--<name>-stdin` and `--<name>-file`: a secret never comes as an argument, which every process could read. */
export function addSecretOptions(command: Command, name: string): Command {
  return command
    .option(`--${name}-stdin`, `read the ${name} from standard input; one line break at its end is dropped`)
    .option(`--${name}-file <file>`, `read the ${name} from a file, in the same way`);
}

/**
 * @returns undefined where neither source is given
 * @throws AppError `misused`, `unreadable_file`
 */
export async function readSecret(
  name: string,
  { isOnStdin, file }: { isOnStdin: boolean | undefined; file: string | undefined },
): Promise<string | undefined> {
  if (isOnStdin && file !== undefined) throw misuse(`Give one of --${name}-stdin and --${name}-file.`);
  if (file !== undefined) return toSecret(await readGiven(file), name, file);
  if (!isOnStdin) return undefined;
  if (process.stdin.isTTY) {
    throw misuse(
      `Standard input is a terminal, which would show the ${name}. Pipe it in, or use --${name}-file.`,
    );
  }
  return toSecret(await readStdin(), name, 'standard input');
}

/** @throws AppError `unreadable_file` */
export async function readGiven(file: string): Promise<Buffer> {
  return readFile(file).catch((cause: unknown) => {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new AppError('unreadable_file', 400, `The file ${file} cannot be read (${reason}).`, { cause });
  });
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_SECRET_BYTES) break;
  }
  return Buffer.concat(chunks);
}

function toSecret(bytes: Buffer, name: string, source: string): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError('not_text', 400, `The ${name} from ${source} is not UTF-8 text.`, { cause });
  }
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw misuse(`There is no ${name} in ${source}.`);
  if (bytes.length > MAX_SECRET_BYTES) throw misuse(`The ${name} from ${source} is far too long.`);
  return secret;
}

/** `90`, `10m`, `2h`, `3d`, `1w` → seconds */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})([smhdw]?)$/.exec(text);
  const unit = UNIT_SECONDS[match?.[2] || 's'];
  if (!match || unit === undefined) {
    throw new InvalidArgumentError('Give seconds, or a number with a unit: 30s, 10m, 2h, 3d, 1w.');
  }
  return Number(match[1]) * unit;
}

/** A time in ISO 8601 (UTC unless it says otherwise), or how long ago: `10m`, `2h`, `3d`. */
export function parseTime(text: string, now: Date = new Date()): Date {
  if (/^\d{1,9}[smhdw]$/.test(text)) return new Date(now.getTime() - parseDuration(text) * 1_000);
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?)?$/i.exec(
    text,
  );
  const time = new Date(match ? `${match[1]}T${match[2] ?? '00:00'}${match[3] ?? 'Z'}` : Number.NaN);
  if (Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError('Give a time such as 2026-01-31T09:00Z, or how long ago: 10m, 2h, 3d.');
  }
  return time;
}

export function parseCount(text: string): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number < 1) throw new InvalidArgumentError('Give a whole number, 1 or more.');
  return number;
}
