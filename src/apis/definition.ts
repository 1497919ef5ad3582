import { AppError } from '../platform/errors.ts';
import {
  ACCESS_TOKEN_FORMATS,
  API_SIGNING_ALGS,
  MAX_ACCESS_TOKEN_SECONDS,
  type ApiDefinition,
  type Permission,
} from './api.ts';
import { isShowable } from './showable.ts';

/** Scopes that mean something here (OIDC Core §5.4, §11) or to every client library. */
const OIDC_SCOPES = new Set(['openid', 'profile', 'email', 'address', 'phone', 'roles', 'offline_access']);

const SCOPE_TOKEN = /^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/;
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9+.-]*:[\x21\x24-\x5B\x5D-\x7E]+$/;
const MAX_IDENTIFIER_LENGTH = 500;
const MIN_ACCESS_TOKEN_SECONDS = 30;
const MIN_REFRESH_TOKEN_SECONDS = 60;
const MAX_REFRESH_TOKEN_SECONDS = 400 * 86_400;

export type ApiInput = Partial<ApiDefinition> & { name: string };
export type ApiChanges = {
  [K in keyof ApiDefinition]?:
    ApiDefinition[K] | (undefined extends ApiDefinition[K] ? null : never) | undefined;
};

/**
 * Fills in what was left out and checks the whole.
 *
 * @throws AppError `invalid_api` (400), whose message says what to do
 */
export function defineApi(input: ApiInput): ApiDefinition {
  return checked({
    accessTokenFormat: 'jwt',
    signingAlg: 'RS256',
    allowOfflineAccess: false,
    ...withoutUndefined(input),
  });
}

/**
 * Applies changes and checks the whole again.
 *
 * @throws AppError as `defineApi`
 */
export function changeApi(before: ApiDefinition, changes: ApiChanges): ApiDefinition {
  const after: Record<string, unknown> = { ...before };
  for (const [name, value] of Object.entries(withoutUndefined(changes))) {
    if (value === null) delete after[name];
    else after[name] = value;
  }
  return checked(after as unknown as ApiDefinition);
}

/** The properties whose values differ, for the audit record. */
export function changedProperties(before: ApiDefinition, after: ApiDefinition): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]) as Set<keyof ApiDefinition>;
  return [...names].filter((name) => before[name] !== after[name]).sort();
}

/**
 * An absolute URI without a fragment (RFC 8707 §2), which is compared character by character.
 *
 * @throws AppError `invalid_api` (400)
 */
export function checkIdentifier(identifier: string): void {
  const parsed = URL.parse(identifier);
  if (!parsed || !IDENTIFIER.test(identifier)) {
    throw refuse(
      'the identifier is an absolute URI without a fragment, in ASCII without spaces and quotes, such as https://api.example.com',
    );
  }
  if (identifier.length > MAX_IDENTIFIER_LENGTH) {
    throw refuse(`the identifier has at most ${MAX_IDENTIFIER_LENGTH} characters`);
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw refuse('the identifier carries a user name or password; leave them out');
  }
}

/** Whatever else was presented as one is no API's: not worth a query, and not even possible to ask for. */
export function mayBeIdentifier(presented: string): boolean {
  return presented.length <= MAX_IDENTIFIER_LENGTH && IDENTIFIER.test(presented);
}

/**
 * @returns the permission as it is stored
 * @throws AppError `invalid_permission` (400)
 */
export function checkPermission({ name, description }: Permission): Permission {
  if (!SCOPE_TOKEN.test(name)) {
    throw refusePermission(
      name,
      'a name has 1 to 128 ASCII characters without spaces, double quotes and backslashes',
    );
  }
  if (OIDC_SCOPES.has(name)) {
    throw refusePermission(name, 'it is a scope of OpenID Connect; choose another name, such as api:read');
  }
  const told = description.normalize('NFC').trim();
  if (!isVisible(told, 200)) {
    throw refusePermission(
      name,
      'describe it for people in 1 to 200 visible characters, for they are asked for it',
    );
  }
  return { name, description: told };
}

function checked(input: ApiDefinition): ApiDefinition {
  const definition = { ...input, name: input.name.normalize('NFC').trim() };
  const { name, accessTokenFormat, signingAlg, accessTokenTtlSeconds: ttl } = definition;
  if (!isVisible(name, 100)) throw refuse('a name is 1 to 100 visible characters');
  oneOf('access token format', accessTokenFormat, ACCESS_TOKEN_FORMATS);
  oneOf('signing algorithm', signingAlg, API_SIGNING_ALGS);
  if (
    ttl !== undefined &&
    (!Number.isSafeInteger(ttl) || ttl < MIN_ACCESS_TOKEN_SECONDS || ttl > MAX_ACCESS_TOKEN_SECONDS)
  ) {
    throw refuse(`an access token lives ${MIN_ACCESS_TOKEN_SECONDS} to ${MAX_ACCESS_TOKEN_SECONDS} seconds`);
  }
  checkRefreshLifetimes(definition);
  return definition;
}

function checkRefreshLifetimes({
  refreshTokenIdleSeconds: idle,
  refreshTokenAbsoluteSeconds: absolute,
}: ApiDefinition): void {
  for (const seconds of [idle, absolute]) {
    if (seconds === undefined) continue;
    if (
      !Number.isSafeInteger(seconds) ||
      seconds < MIN_REFRESH_TOKEN_SECONDS ||
      seconds > MAX_REFRESH_TOKEN_SECONDS
    ) {
      throw refuse(
        `a refresh token lives ${MIN_REFRESH_TOKEN_SECONDS} to ${MAX_REFRESH_TOKEN_SECONDS} seconds`,
      );
    }
  }
  if (idle !== undefined && absolute !== undefined && idle > absolute) {
    throw refuse('a refresh token cannot lie unused for longer than its family lives');
  }
}

/** Shown on the consent page. */
function isVisible(text: string, maxLength: number): boolean {
  return text.length <= maxLength && isShowable(text);
}

function oneOf(what: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) {
    throw refuse(`${JSON.stringify(value)} is no ${what}; choose from ${choices.join(', ')}`);
  }
}

function withoutUndefined<T extends object>(input: T): T {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as T;
}

function refuse(advice: string): AppError {
  return new AppError('invalid_api', 400, `This API cannot be registered so: ${advice}.`);
}

function refusePermission(name: string, advice: string): AppError {
  return new AppError(
    'invalid_permission',
    400,
    `The permission ${JSON.stringify(name)} is refused: ${advice}.`,
  );
}
