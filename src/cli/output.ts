import { once } from 'node:events';

/** The result goes to standard output, and nothing else does; notes for a person go to standard error. */

/** One line of JSON. Waits for a slow reader. */
export async function printJson(value: unknown): Promise<void> {
  await write(`${JSON.stringify(value)}\n`);
}

export async function print(text: string): Promise<void> {
  await write(`${text}\n`);
}

/** What a person should know beside the result. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Aligned columns with a heading; the last one may be as long as it likes. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
): string {
  const lines = [head, ...rows.map((row) => head.map((_, column) => printable(row[column] ?? '–')))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => lengthOf(line[column]))));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - lengthOf(cell))))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** One thing as `label  value`, a line each; a list takes a line for each of its members. What is absent is left out. */
export function formatFields(
  fields: readonly (readonly [label: string, value: string | readonly string[] | undefined])[],
): string {
  const present = fields.flatMap(([label, value]) => {
    const values = typeof value === 'object' ? value : value === undefined ? [] : [value];
    return values.map((each, index) => [index === 0 ? label : '', printable(each)] as const);
  });
  const width = Math.max(0, ...present.map(([label]) => lengthOf(label)));
  return present.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join('\n');
}

/** `2026-01-31 23:59:59`, in UTC as all our times are. */
export function formatTime(time: Date | string): string {
  const iso = typeof time === 'string' ? time : time.toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
}

export function yesOrNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** What people wrote may hold what a terminal takes for commands, or what turns the line round. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}|\p{Zl}|\p{Zp}/gu, '�');
}

function lengthOf(text: string | undefined): number {
  return Array.from(text ?? '').length;
}

/** As it is, to standard output. */
export async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}
