/**
 * Reads the configuration: `config/default.json`, then `config/<env>.json`, then `GATEHOUSE_*` and `GATEHOUSE_*_FILE`.
 * The only file that reads `process.env`. All problems are found in one pass.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

import { codeOf, readLayer, type JsonLayer } from './json-layer.ts';
import { checkValue, parseText, type Parsed } from './parse-text.ts';
import type { Problem } from './problem.ts';
import { productionProblems } from './production-rules.ts';
import { relationProblems } from './relations.ts';
import { configSchema, type Config } from './schema.ts';
import { asWritten, settingAt, settings, type Origin, type Setting } from './settings.ts';
import { unknownVariables } from './unknown-variables.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where each setting's value comes from, by path. */
export type Origins = Readonly<Record<string, Origin>>;

export interface Draft {
  config: Config;
  origins: Origins;
}

/**
 * `draft` is there when every value could be read and only rules are broken, such as production's: with it a caller can
 * go on to look for more problems (in the database, in Redis) and report all of them together. It is not to be served with.
 */
export type LoadResult = ({ kind: 'ok' } & Draft) | { kind: 'problems'; problems: Problem[]; draft?: Draft };

interface Given {
  origin: Origin;
  parsed: Parsed;
}

/**
 * @param env the process's environment by default
 * @param configDirectory the folder of `default.json` and its siblings; absent files are as good as empty ones
 */
export function loadConfig({
  env = process.env,
  configDirectory,
}: {
  env?: Environment;
  configDirectory: string;
}): LoadResult {
  const problems: Problem[] = [];
  const defaults = readLayer(configDirectory, 'default.json', problems);
  const profile = readProfile(env, defaults);
  const layers =
    profile === undefined ? [defaults] : [readLayer(configDirectory, `${profile}.json`, problems), defaults];

  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  const failed = new Set<string>();
  for (const setting of settings) {
    const given = fromEnvironment(setting, env, problems) ?? fromFiles(setting, layers);
    const origin = given?.origin ?? { kind: setting.defaultValue === undefined ? 'unset' : 'default' };
    origins[setting.path] = origin;
    if (given?.parsed.kind === 'ok') {
      values[setting.path] = given.parsed.value;
      continue;
    }
    if (setting.defaultValue !== undefined) values[setting.path] = structuredClone(setting.defaultValue);
    if (given?.parsed.kind === 'wrong') {
      failed.add(setting.path);
      problems.push(invalid(setting, origin, given.parsed.message));
    }
  }
  if (values['issuer'] === undefined) {
    values['issuer'] = `http://localhost:${String(values['port'])}`;
    if (!failed.has('issuer')) origins['issuer'] = { kind: 'derived' };
  }
  problems.push(...unknownVariables(env));

  const readable = problems.length === 0;
  const draft: Draft = { config: freeze(configSchema.parse(nest(values))), origins };
  for (const rule of [relationProblems, productionProblems]) {
    // A rule about a value that could not be read would only repeat what was said about it.
    problems.push(
      ...rule(draft)
        .filter(({ paths }) => !paths.some((path) => failed.has(path)))
        .map(({ problem }) => problem),
    );
  }
  if (problems.length === 0) return { kind: 'ok', ...draft };
  return readable ? { kind: 'problems', problems, draft } : { kind: 'problems', problems };
}

function readProfile(env: Environment, defaults: JsonLayer): string | undefined {
  const setting = settingAt('env');
  const given = fromEnvironment(setting, env, []) ?? fromFiles(setting, [defaults]);
  if (given === undefined) return String(setting.defaultValue);
  return given.parsed.kind === 'ok' ? String(given.parsed.value) : undefined;
}

function fromEnvironment(setting: Setting, env: Environment, problems: Problem[]): Given | undefined {
  const name = setting.environmentName;
  const direct = env[name] || undefined;
  const fileName = `${name}_FILE`;
  const file = name === 'PORT' ? undefined : env[fileName] || undefined;
  if (direct !== undefined && file !== undefined) {
    problems.push({
      code: 'set_twice',
      setting: name,
      message: `is given twice, here and in ${fileName}.`,
      remedy: `Keep one of ${name} and ${fileName}.`,
    });
  }
  if (direct !== undefined)
    return { origin: { kind: 'environment', name }, parsed: parseText(setting, direct) };
  if (file === undefined) return undefined;
  return {
    origin: { kind: 'environment-file', name: fileName, file },
    parsed: fromSecretFile(setting, file),
  };
}

function fromSecretFile(setting: Setting, file: string): Parsed {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return text === ''
      ? { kind: 'wrong', message: `names the file ${file}, which is empty` }
      : parseText(setting, text);
  } catch (error) {
    return { kind: 'wrong', message: `names the file ${file}, which cannot be read (${codeOf(error)})` };
  }
}

function fromFiles(setting: Setting, layers: readonly JsonLayer[]): Given | undefined {
  for (const { file, values } of layers) {
    if (!values.has(setting.path)) continue;
    const parsed = checkValue(setting, values.get(setting.path));
    const isDefault = basename(file) === 'default.json' && sameJson(parsed, setting.defaultValue);
    return { origin: isDefault ? { kind: 'default' } : { kind: 'file', file }, parsed };
  }
  return undefined;
}

function sameJson(parsed: Parsed, value: unknown): boolean {
  return parsed.kind === 'ok' && JSON.stringify(parsed.value) === JSON.stringify(value);
}

function nest(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(values)) {
    const keys = path.split('.');
    const last = keys.pop() ?? path;
    let group = root;
    for (const key of keys) group = (group[key] ??= {}) as Record<string, unknown>;
    group[last] = value;
  }
  return root;
}

function invalid(setting: Setting, origin: Origin, message: string): Problem {
  return {
    code: 'invalid_setting',
    setting: asWritten(setting, origin),
    message: `${message}.`,
    remedy: `${setting.path}: ${setting.description}`,
  };
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) freeze(child);
    Object.freeze(value);
  }
  return value;
}
