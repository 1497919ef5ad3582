import { isNativeError } from 'node:util/types';

import { stdSerializers } from 'pino';

const censor = '[redacted]';
const deepest = 8;

/** Compared in lower case and without separators, so that `client_secret`, `clientSecret` and `Client-Secret` are one. */
const secretNames =
  /^(code|.*(password|token|secret|assertion|verifier)|authorization|proxyauthorization|cookie|setcookie|otp|totp|(device|user|recovery)codes?|(private|secret|cookie|sealing)keys?|dpop|otpauthuri)$/;

const addressNames = /(url|uri|href|location|referr?er|path|connectionstring)$/;
const secretParameters =
  /([?&#](?:code|state|[^=&#\s]*(?:token|secret|password|assertion)|user_code|device_code|id_token_hint)=)[^&#\s]*/gi;
const urlPassword = /^([a-z][a-z0-9+.-]*:\/\/[^:/?#@\s]*:)[^@/\s]*@/i;

/**
 * A copy of what is about to be logged without anything that opens a door: values of secret names at any depth, secret
 * parameters and passwords in URLs. Errors become plain objects with their causes' stacks. The original is untouched.
 */
export function redact(fields: object): Record<string, unknown> {
  return walkObject(fields, { depth: 0, isError: false, above: new Set() });
}

interface Place {
  depth: number;
  /** In an error, `code` is its kind ("ECONNREFUSED"), not a credential. */
  isError: boolean;
  above: ReadonlySet<object>;
}

function walk(name: string, value: unknown, place: Place): unknown {
  const plainName = name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  if (secretNames.test(plainName) && !(place.isError && plainName === 'code')) return hide(value);
  if (typeof value === 'string') return addressNames.test(plainName) ? redactUrl(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (place.depth >= deepest) return '[too deep]';
  if (place.above.has(value)) return '[circular]';
  const below: Place = { depth: place.depth + 1, isError: false, above: new Set([...place.above, value]) };
  if (isNativeError(value) || value instanceof Error) return walkError(value, below);
  if (Array.isArray(value)) return value.map((item) => walk(name, item, below));
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value))
    return `[${value.constructor.name}]`;
  return 'toJSON' in value && typeof value.toJSON === 'function' ? value : walkObject(value, below);
}

function walkObject(fields: object, place: Place): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, walk(name, value, place)]));
}

function walkError(error: Error, place: Place): Record<string, unknown> {
  return walkObject(stdSerializers.err(error), { ...place, isError: true });
}

/** The mark in the place of a secret; whether there was one may be seen. */
export function hide(value: unknown): unknown {
  return value === undefined || value === null || typeof value === 'boolean' ? value : censor;
}

/** A URL, absolute or not, without the values of its secret parameters and without its password. */
export function redactUrl(text: string): string {
  return text.replace(secretParameters, `$1${censor}`).replace(urlPassword, `$1${censor}@`);
}
