const colours: Readonly<Record<string, number>> = {
  trace: 90,
  debug: 36,
  info: 32,
  warn: 33,
  error: 31,
  fatal: 35,
};

/** What would move the cursor or forge a line of its own. */
// oxlint-disable-next-line no-control-regex -- these characters are the point
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * One JSON line of pino as a line for people: `14:03:07.123 INFO  message  key=value`, an error's stack below it.
 * A line that is not JSON is passed on as it is.
 */
export function prettyLine(line: string, { isColoured = false }: { isColoured?: boolean } = {}): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { level, time, msg, err, ...fields } = record;
  const paint = (text: string, colour: number | undefined): string =>
    isColoured && colour !== undefined ? `\u001b[${colour}m${text}\u001b[0m` : text;

  const name = String(level);
  const error = err as { stack?: string; message?: string } | undefined;
  const parts = [
    `${paint(localTime(time), 90)} ${paint(name.toUpperCase().padEnd(5), colours[name])} ${safe(oneLine(msg))}`,
    ...Object.entries(fields).map(([key, value]) => paint(`${key}=${safe(fieldText(value))}`, 90)),
  ];
  const stack = error === undefined ? '' : `\n${safe(error.stack ?? error.message ?? fieldText(error))}`;
  return `${parts.join('  ').trimEnd()}${stack.replaceAll('\n', '\n    ')}\n`;
}

function localTime(time: unknown): string {
  const date = new Date(String(time));
  if (Number.isNaN(date.getTime())) return String(time);
  const digits = (value: number, length = 2): string => String(value).padStart(length, '0');
  return `${digits(date.getHours())}:${digits(date.getMinutes())}:${digits(date.getSeconds())}.${digits(date.getMilliseconds(), 3)}`;
}

function oneLine(message: unknown): string {
  return typeof message === 'string' ? message.replaceAll('\n', String.raw`\n`) : '';
}

function fieldText(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

function safe(text: string): string {
  return text.replace(controls, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
