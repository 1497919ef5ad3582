import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { Problem } from './problem.ts';
import { settings } from './settings.ts';
import { closest, suggestion } from './unknown-variables.ts';

/** What one file of the configuration folder gives, by the path of the setting. */
export interface JsonLayer {
  /** As messages name it: `config/production.json`. */
  file: string;
  values: Map<string, unknown>;
}

/** Reads one file; an absent one is as good as an empty one. Whatever is wrong with it is added to `problems`. */
export function readLayer(directory: string, name: string, problems: Problem[]): JsonLayer {
  const file = join(basename(directory), name);
  const values = new Map<string, unknown>();
  const text = readText(directory, name, file, problems);
  if (text === undefined) return { file, values };

  const content = parseObject(text, file, problems);
  if (content !== undefined) collect(content, [], values);
  const known = settings.map(({ path }) => path);
  for (const path of values.keys()) {
    const isOwnProfile = path === 'env' && name !== 'default.json';
    if (known.includes(path) && !isOwnProfile) continue;
    values.delete(path);
    problems.push({
      code: 'unknown_setting',
      setting: `${path} in ${file}`,
      message: isOwnProfile
        ? 'the profile chooses this file, so it cannot be set in it.'
        : 'there is no such setting.',
      remedy: isOwnProfile ? 'Remove it and set GATEHOUSE_ENV.' : suggestion(closest(path, known)),
    });
  }
  return { file, values };
}

/** `ENOENT` and the like. */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}

function readText(directory: string, name: string, file: string, problems: Problem[]): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    problems.push({
      code: 'unreadable_file',
      setting: file,
      message: `cannot be read (${codeOf(error)}).`,
      remedy: 'Let the user that runs the server read it.',
    });
    return undefined;
  }
}

function parseObject(text: string, file: string, problems: Problem[]): object | undefined {
  let where = '';
  try {
    const content: unknown = JSON.parse(text);
    if (isGroup(content)) return content;
    where = ', because it does not hold an object';
  } catch (error) {
    // The rest of the message quotes the file, which may hold secrets.
    const position = /line \d+ column \d+/.exec(error instanceof Error ? error.message : '');
    if (position) where = `, at ${position[0]}`;
  }
  problems.push({
    code: 'invalid_json',
    setting: file,
    message: `is not a valid JSON configuration${where}.`,
    remedy: 'Correct the file; JSON takes neither comments nor trailing commas.',
  });
  return undefined;
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function collect(value: unknown, path: readonly string[], into: Map<string, unknown>): void {
  if (!isGroup(value)) {
    into.set(path.join('.'), value);
    return;
  }
  for (const [key, child] of Object.entries(value)) collect(child, [...path, key], into);
}
