import type { Config } from './schema.ts';
import { settings, type Origin, type Setting, type SettingValue } from './settings.ts';

/** One line of `gatehouse config check`. */
export interface DescribedSetting {
  path: string;
  environmentName: string;
  /** Fit to be shown: secrets are masked. Undefined where the setting is not set. */
  value: SettingValue | undefined;
  /** `default`, `derived`, `not set`, a file or the name of a variable. */
  origin: string;
}

const mask = '********';

/** The effective configuration with the origin of each value and without secrets. */
export function describeConfig({
  config,
  origins,
}: {
  config: Config;
  origins: Readonly<Record<string, Origin>>;
}): DescribedSetting[] {
  return settings.map((setting) => ({
    path: setting.path,
    environmentName: setting.environmentName,
    value: shown(setting, valueAt(config, setting.path)),
    origin: nameOf(origins[setting.path]),
  }));
}

/** The same as aligned text, one setting a line. */
export function formatDescription(described: readonly DescribedSetting[]): string {
  const rows = described.map(({ path, value, origin }) => [path, plain(value), `(${origin})`] as const);
  const widths = [0, 1].map((column) =>
    Math.min(60, Math.max(...rows.map((row) => row[column]?.length ?? 0))),
  );
  return rows
    .map(
      ([path, value, origin]) => `${path.padEnd(widths[0] ?? 0)}  ${value.padEnd(widths[1] ?? 0)}  ${origin}`,
    )
    .join('\n');
}

/** A connection URL without its password, wherever in the URL it stands. */
export function maskUrl(text: string): string {
  const url = URL.parse(text);
  if (!url) return mask;
  if (url.password) url.password = mask;
  for (const name of new Set(url.searchParams.keys())) {
    if (/pass|secret|token|key/i.test(name)) url.searchParams.set(name, mask);
  }
  return url.href;
}

function shown(setting: Setting, value: SettingValue | undefined): SettingValue | undefined {
  if (value === undefined || setting.secrecy === undefined) return value;
  if (setting.secrecy === 'url') return typeof value === 'string' ? maskUrl(value) : mask;
  return typeof value === 'object' ? value.map(() => mask) : mask;
}

function valueAt(config: Config, path: string): SettingValue | undefined {
  let value: unknown = config;
  for (const key of path.split('.')) value = (value as Readonly<Record<string, unknown>>)[key];
  return value as SettingValue | undefined;
}

function nameOf(origin: Origin | undefined): string {
  switch (origin?.kind) {
    case 'file':
      return origin.file;
    case 'environment':
      return origin.name;
    case 'environment-file':
      return `${origin.name} → ${origin.file}`;
    case 'derived':
    case 'default':
      return origin.kind;
    default:
      return 'not set';
  }
}

function plain(value: SettingValue | undefined): string {
  if (value === undefined) return '–';
  if (typeof value === 'object') return value.length === 0 ? '–' : value.join(', ');
  return String(value);
}
