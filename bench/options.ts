import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** Seconds that each load is applied, after a warm-up of half of it. */
  seconds: number;
  connections: number;
  /** Server processes. */
  workers: number;
  isQuick: boolean;
  /** The names of what is to be measured; empty for all. */
  only: readonly string[];
  /** The set-ups to measure on; empty for both. */
  on: readonly string[];
  jsonFile: string | undefined;
  /** Where the servers leave CPU profiles. */
  profileDirectory: string | undefined;
}

export const USAGE = `npm run bench -- [--quick] [--only NAME …] [--on embedded|redis] [--seconds N]
                  [--connections N] [--workers N] [--json FILE] [--profile DIRECTORY]`;

/** @throws TypeError for arguments that it does not know */
export function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      on: { type: 'string', multiple: true, default: [] },
      seconds: { type: 'string' },
      connections: { type: 'string', default: '16' },
      workers: { type: 'string', default: '1' },
      json: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  return {
    seconds: positive(values.seconds ?? (values.quick ? '0.4' : '6'), '--seconds'),
    connections: positive(values.connections, '--connections'),
    workers: positive(values.workers, '--workers'),
    isQuick: values.quick,
    only: values.only,
    on: values.on,
    jsonFile: values.json,
    profileDirectory: values.profile,
  };
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new TypeError(`${name} must be a positive number`);
  return value;
}
