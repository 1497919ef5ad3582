/** The options of `clients create` and `clients update` for clients with demands of their own, a row each. */
import { Option, type Command } from 'commander';

import { registeredName, type ProtocolOption, type ProtocolOptions } from '../clients/protocol-options.ts';
import { parseDuration } from './input.ts';
import { MESSAGE_ROWS } from './message-options.ts';

interface Row {
  property: ProtocolOption;
  flags: string;
  description: string;
  choices?: readonly string[];
  /** A word that is not as it should be is a misuse: throws commander's `InvalidArgumentError`. */
  parse?: (word: string) => unknown;
  /** What is made of it later, where that takes more than the words: reading a file. */
  read?: (given: never) => Promise<unknown>;
}

const ROWS: readonly Row[] = [
  {
    property: 'defaultMaxAge',
    flags: '--default-max-age <duration>',
    description: 'people sign in anew when they did so longer ago, unless the request says: 1h',
    parse: parseDuration,
  },
  {
    property: 'defaultAcrValues',
    flags: '--default-acr <class...>',
    description: 'what a request without acr_values asks for',
    choices: ['aal1', 'aal2'],
  },
  ...MESSAGE_ROWS,
];

export type ProtocolOptionsGiven = Record<string, unknown>;

export function addProtocolOptions(command: Command): Command {
  for (const row of ROWS) command.addOption(toOption(row));
  return command;
}

/** What was given, left out what was not. */
export async function readProtocolOptions(given: ProtocolOptionsGiven): Promise<ProtocolOptions> {
  const read: Record<string, unknown> = {};
  for (const row of ROWS) {
    const value = given[toOption(row).attributeName()];
    if (value === undefined) continue;
    read[row.property] = row.read ? await row.read(value as never) : value;
  }
  return read;
}

/** By the names that `--clear` takes: `default-max-age`. */
export const CLEARABLE_OPTIONS: Readonly<Record<string, ProtocolOption>> = Object.fromEntries(
  ROWS.map((row) => [registeredName(toOption(row).attributeName()).replaceAll('_', '-'), row.property]),
);

function toOption({ flags, description, choices, parse }: Row): Option {
  const option = new Option(flags, description);
  if (parse) option.argParser(parse);
  return choices ? option.choices(choices) : option;
}
