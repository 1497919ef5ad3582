import type { z } from 'zod';

import type { Setting, SettingKind } from './settings.ts';

export type Parsed = { kind: 'ok'; value: unknown } | { kind: 'wrong'; message: string };

const booleans = new Map([
  ...['true', 'yes', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', '0'].map((word) => [word, false] as const),
]);

const parsers: Record<SettingKind, (setting: Setting, text: string) => Parsed> = {
  text: checkValue,
  choice: checkValue,
  number: (setting, text) =>
    /^-?\d{1,15}$/.test(text)
      ? checkValue(setting, Number(text))
      : wrong(`must be a whole number${quote(setting, text)}`),
  boolean: (setting, text) => {
    const value = booleans.get(text.toLowerCase());
    return value === undefined
      ? wrong(`must be true or false${quote(setting, text)}`)
      : checkValue(setting, value);
  },
  list: (setting, text) =>
    checkValue(
      setting,
      text
        .split(/[,\n]/)
        .map((item) => item.trim())
        .filter((item) => item !== ''),
    ),
};

/**
 * Reads a value from the environment or from a `*_FILE`. Numbers are whole and decimal, lists are separated by commas
 * (in a file also by line breaks).
 */
export function parseText(setting: Setting, text: string): Parsed {
  return parsers[setting.kind](setting, text);
}

/** Judges a value that has its type already, as JSON files give it. */
export function checkValue(setting: Setting, value: unknown): Parsed {
  const result = setting.schema.safeParse(value);
  if (result.success) return { kind: 'ok', value: result.data };
  const messages = new Set(result.error.issues.map((issue) => sentence(setting, issue, value)));
  return wrong([...messages].join('; '));
}

function wrong(message: string): Parsed {
  return { kind: 'wrong', message };
}

function sentence(setting: Setting, issue: z.core.$ZodIssue, value: unknown): string {
  const unit = issue.code === 'too_small' || issue.code === 'too_big' ? unitOf(issue.origin) : '';
  const verb = unit === '' ? 'be' : 'have';
  switch (issue.code) {
    case 'too_small':
      return `must ${verb} at least ${issue.minimum}${unit}${quote(setting, value)}`;
    case 'too_big':
      return `must ${verb} at most ${issue.maximum}${unit}${quote(setting, value)}`;
    case 'invalid_value':
      return `must be one of ${setting.choices.join(', ')}${quote(setting, value)}`;
    case 'invalid_type':
      return `must be ${expectation[setting.kind]}${quote(setting, value)}`;
    default:
      return issue.message;
  }
}

const expectation = {
  text: 'a text',
  number: 'a whole number',
  boolean: 'true or false',
  list: 'a list of texts',
  choice: 'a text',
} as const;

function unitOf(origin: string): string {
  return origin === 'string' ? ' characters' : '';
}

/** Shows short plain values, never anything of a secret. */
function quote(setting: Setting, value: unknown): string {
  if (setting.secrecy !== undefined) return '';
  const shown = typeof value === 'string' ? `"${value}"` : JSON.stringify(value);
  return shown !== undefined && shown.length <= 60 ? `, not ${shown}` : '';
}
