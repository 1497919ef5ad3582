import { z } from 'zod';

import { configSchema, type Secrecy } from './schema.ts';

/** How a value is written in the environment: lists are separated by commas. */
export type SettingKind = 'text' | 'number' | 'boolean' | 'list' | 'choice';

export type SettingValue = string | number | boolean | readonly string[];

/** One leaf of the schema. */
export interface Setting {
  /** `database.url` */
  path: string;
  /** `GATEHOUSE_DATABASE_URL` */
  environmentName: string;
  kind: SettingKind;
  choices: readonly string[];
  description: string;
  secrecy: Secrecy | undefined;
  /** Undefined where the setting may be absent or is derived from another. */
  defaultValue: SettingValue | undefined;
  /** How the value comes about when it is not given and has no fixed default. */
  derived: string | undefined;
  schema: z.ZodType;
}

/** Where a value comes from. */
export type Origin =
  | { kind: 'default' }
  | { kind: 'derived' }
  | { kind: 'unset' }
  | { kind: 'file'; file: string }
  | { kind: 'environment'; name: string }
  | { kind: 'environment-file'; name: string; file: string };

/** Every setting, in the order of the schema. */
export const settings: readonly Setting[] = leaves(configSchema, []);

/** The setting of that path; throws for a path that the schema does not have. */
export function settingAt(path: string): Setting {
  const found = settings.find((setting) => setting.path === path);
  if (!found) throw new Error(`there is no setting ${path}`);
  return found;
}

/** The setting as the operator wrote it, or would write it. */
export function asWritten(setting: Setting, origin: Origin | undefined): string {
  if (origin?.kind === 'file') return `${setting.path} in ${origin.file}`;
  if (origin?.kind === 'environment' || origin?.kind === 'environment-file') return origin.name;
  return setting.environmentName;
}

/** `database.maxConnections` → `GATEHOUSE_DATABASE_MAX_CONNECTIONS`; the port is `PORT`, as platforms give it. */
export function environmentNameOf(path: string): string {
  if (path === 'port') return 'PORT';
  const words = path.replaceAll(/([a-z\d])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return `GATEHOUSE_${words.toUpperCase()}`;
}

function leaves(schema: z.ZodType, path: readonly string[]): Setting[] {
  const { inner, defaultValue } = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([key, child]) => leaves(child as z.ZodType, [...path, key]));
  }
  const joined = path.join('.');
  const { description, secrecy, derived } = schema.meta() ?? {};
  return [
    {
      path: joined,
      environmentName: environmentNameOf(joined),
      kind: kindOf(inner, joined),
      choices: inner instanceof z.ZodEnum ? inner.options.map(String) : [],
      description: description ?? '',
      secrecy: secrecy as Secrecy | undefined,
      defaultValue: defaultValue as SettingValue | undefined,
      derived: derived as string | undefined,
      schema,
    },
  ];
}

function unwrap(schema: z.ZodType): { inner: z.ZodType; defaultValue: unknown } {
  if (schema instanceof z.ZodDefault) {
    return { inner: schema.def.innerType as z.ZodType, defaultValue: schema.def.defaultValue };
  }
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodExactOptional) {
    return { inner: schema.def.innerType as z.ZodType, defaultValue: undefined };
  }
  return { inner: schema, defaultValue: undefined };
}

function kindOf(schema: z.ZodType, path: string): SettingKind {
  if (schema instanceof z.ZodString) return 'text';
  if (schema instanceof z.ZodNumber) return 'number';
  if (schema instanceof z.ZodBoolean) return 'boolean';
  if (schema instanceof z.ZodArray) return 'list';
  if (schema instanceof z.ZodEnum) return 'choice';
  throw new Error(`setting ${path} has a type that the environment cannot give`);
}
