/**
 * Where a person types the code that a device shows (RFC 8628 §3.3): the library's forms and its checks, our pages, and
 * limits to guessing. What went wrong is decided and recorded here; the words are the pages' own.
 *
 * From the confirmation on the request goes through the same policy as any other (policy.ts), and ends in an approval
 * or a refusal of the code (device-codes.ts).
 */
import { type Configuration, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { ApiService } from '../apis/service.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import { DeviceCodeTaken } from './device-codes.ts';
import { wordsOf } from './entitlement.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { RequestedApi } from './interactions.ts';
import { limitPolling, type PollingDependencies } from './polling.ts';
import { OIDC_SCOPES } from './scopes.ts';
import type { UserCodeThrottle } from './user-code-throttle.ts';

export type EntryProblem =
  | { kind: 'missing' | 'unknown' | 'expired' | 'used' }
  /** The form is of another page view, or of another site. */
  | { kind: 'stale' }
  | { kind: 'throttled'; retryAfterSeconds: number };

interface EntryForm {
  action: string;
  xsrf: string;
}

export interface DevicePages {
  /** Asks for the code: posts `user_code` and `xsrf`. */
  enter: (
    ctx: KoaContextWithOIDC,
    form: EntryForm & { userCode?: string | undefined; problem?: EntryProblem | undefined },
  ) => void;
  /** Asks whether the code is that of the person's own device: posts `confirm` or `abort`, with the code and `xsrf`. */
  confirm: (
    ctx: KoaContextWithOIDC,
    question: EntryForm & { userCode: string; client: Client; scopes: string[]; apis: RequestedApi[] },
  ) => void;
  done: (ctx: KoaContextWithOIDC, client: { clientName: string }) => void;
  declined: (ctx: KoaContextWithOIDC) => void;
  /** The browser sent no session along that we know: the form is of a page that was never opened, or long ago. */
  startAgain: (ctx: KoaContextWithOIDC, form: Pick<EntryForm, 'action'>) => void;
  /** What is none of the person's doing. */
  renderError: NonNullable<Configuration['renderError']>;
}

export interface DeviceEntryDependencies extends PollingDependencies {
  pages: DevicePages;
  throttle: UserCodeThrottle;
  apis: Pick<ApiService, 'find'>;
  clientOf: (providerClient: object) => Client | undefined;
}

export interface DeviceEntry {
  /** The library's `features.deviceFlow`. */
  feature: NonNullable<NonNullable<Configuration['features']>['deviceFlow']>;
  install: (provider: Provider) => void;
}

/** RFC 8628 §6.1: no vowels, so no words; no digits that look like letters. */
const USER_CODE = /^[BCDFGHJKLMNPQRSTVWXZ]{8}$/;

/** Names of the library's errors that only show the form again, for they are not exported. */
const PROBLEMS: Readonly<Record<string, Exclude<EntryProblem['kind'], 'stale' | 'throttled'>>> = {
  NoCodeError: 'missing',
  NotFoundError: 'unknown',
  ExpiredError: 'expired',
  AlreadyUsedError: 'used',
};

class EntryThrottled extends errors.OIDCProviderError {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super(429, 'too_many_user_codes');
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export function createDeviceEntry(dependencies: DeviceEntryDependencies): DeviceEntry {
  const { pages, throttle, apis, clientOf } = dependencies;
  const formOf = ({ oidc }: KoaContextWithOIDC): EntryForm => ({
    action: oidc.urlFor('code_verification'),
    xsrf: xsrfOf(oidc.session),
  });

  const requestedApis = async (resource: unknown, words: readonly string[]): Promise<RequestedApi[]> => {
    const identifiers = [resource].flat().filter((it) => typeof it === 'string');
    const found = await Promise.all(
      identifiers.map((identifier) => orTemporarilyUnavailable(() => apis.find(identifier))),
    );
    return found
      .filter((api) => api !== undefined)
      .map(({ identifier, name, permissions }) => ({
        identifier,
        name,
        permissions: permissions.filter((permission) => words.includes(permission.name)),
      }));
  };

  return {
    feature: {
      enabled: true,
      charset: 'base-20',
      mask: '****-****',
      // What is not kept cannot be leaked; the record of the request has address and browser.
      deviceInfo: () => ({}),
      userCodeInputSource: async (ctx, _form, out, error) => {
        if (!error) return pages.enter(ctx, formOf(ctx));
        if (error.name === 'AbortedError') return pages.declined(ctx);
        const problem = problemOf(error, ctx.oidc.route);
        if (isWithoutSession(ctx)) {
          // The library would save a session that never was, and fail: its form would lead nowhere.
          (ctx.oidc.session as { touched?: boolean }).touched = false;
          if (problem) return pages.startAgain(ctx, formOf(ctx));
        }
        if (!problem) return pages.renderError(ctx, out ?? { error: 'server_error' }, error);
        if (Object.hasOwn(PROBLEMS, error.name)) recordProblem(ctx, problem.kind, error);
        return pages.enter(ctx, { ...formOf(ctx), problem });
      },
      userCodeConfirmSource: async (ctx, _form, providerClient, _deviceInfo, userCode) => {
        const client = clientOf(providerClient);
        if (!client) throw new Error('a device code of an unknown client');
        const { params = {} } = ctx.oidc.entities.DeviceCode as { params?: Record<string, unknown> };
        const words = wordsOf(params['scope']);
        return pages.confirm(ctx, {
          ...formOf(ctx),
          userCode,
          client,
          scopes: words.filter((word) => OIDC_SCOPES.has(word)),
          apis: await requestedApis(params['resource'], words),
        });
      },
      successSource: async (ctx) =>
        pages.done(ctx, { clientName: ctx.oidc.client?.clientName ?? 'your device' }),
    },

    install: (provider) => {
      limitPolling(provider, 'DeviceCode', dependencies);
      limitGuessing(provider, throttle);
      provider.on('device_authorization.success', (ctx) => {
        // RFC 8628 §3.2; the library has no setting for it.
        (ctx.body as { interval?: number }).interval = dependencies.intervalSeconds;
      });
      provider.use(async (ctx, next) => {
        const policy = ctx.response.get('Content-Security-Policy');
        await next();
        const { oidc } = ctx as unknown as { oidc?: KoaContextWithOIDC['oidc'] };
        if (oidc?.route !== 'code_verification' || ctx.method !== 'GET' || !oidc.session) return;
        const given: unknown = oidc.params?.['user_code'];
        if (given === undefined) return;
        // `verification_uri_complete`: the library would send the code by itself, with a script of its own. Here the
        // person sends it, and is asked on the next page whether it is theirs (RFC 8628 §5.4).
        ctx.set('Content-Security-Policy', policy);
        const context = ctx as unknown as KoaContextWithOIDC;
        pages.enter(context, { ...formOf(context), userCode: showUserCode(given) });
      });
    },
  };
}

interface EnteredCode {
  inFlight?: boolean | undefined;
  sessionUid?: string;
}

/** Counts what could be a code before it is looked up. */
function limitGuessing(provider: Provider, throttle: UserCodeThrottle): void {
  const model = provider.DeviceCode as unknown as {
    findByUserCode: (userCode: string, options?: object) => Promise<EnteredCode | undefined>;
  };
  const { findByUserCode } = model;
  model.findByUserCode = async function findCounted(this: typeof model, userCode, options) {
    const { ctx } = Provider;
    if (!ctx?.oidc.session) throw new Error('a user code is typed in a browser');
    if (!USER_CODE.test(userCode)) return undefined;
    const { uid: sessionUid } = ctx.oidc.session;
    const entry = await orTemporarilyUnavailable(() => throttle.begin({ address: ctx.ip, sessionUid }));
    if (entry.kind === 'throttled') throw new EntryThrottled(entry.retryAfterSeconds);
    const code = await findByUserCode.call(this, userCode, options);
    if (code) await orTemporarilyUnavailable(entry.succeed);
    // Its own browser, which left half way: the library would send it off.
    if (code?.inFlight && code.sessionUid === sessionUid) code.inFlight = undefined;
    return code;
  };
}

/** undefined: a fault, or a refusal that typing another code does not mend. */
function problemOf(error: Error, route: string): EntryProblem | undefined {
  if (error instanceof EntryThrottled)
    return { kind: 'throttled', retryAfterSeconds: error.retryAfterSeconds };
  if (error instanceof DeviceCodeTaken) return { kind: 'used' };
  const kind = PROBLEMS[error.name];
  // Behind the pages nobody typed anything: the code, or the session that approved it, came to its end meanwhile.
  if (kind === 'unknown' && route === 'device_resume') return { kind: 'expired' };
  if (kind) return { kind };
  return error instanceof errors.InvalidRequest ? { kind: 'stale' } : undefined;
}

/** The library tells of these by no event. What was typed is not recorded: it may be somebody's code. */
function recordProblem(ctx: KoaContextWithOIDC, kind: EntryProblem['kind'], error: Error): void {
  const code = ctx.oidc.entities.DeviceCode;
  currentUnitOfWork()?.record({
    type: 'device.refused',
    outcome: 'failure',
    ...(code?.clientId === undefined ? {} : { clientId: code.clientId }),
    payload: { error: `user_code_${kind}`, reason: error.message.slice(0, 300) },
  });
}

function isWithoutSession({ oidc }: KoaContextWithOIDC): boolean {
  return typeof (oidc.session as { exp?: unknown } | undefined)?.exp !== 'number';
}

/** As the device shows it; undefined for what is no code. */
function showUserCode(given: unknown): string | undefined {
  if (typeof given !== 'string') return undefined;
  const code = given.slice(0, 50).toUpperCase().replaceAll(/\W/g, '');
  return USER_CODE.test(code) ? `${code.slice(0, 4)}-${code.slice(4)}` : undefined;
}

function xsrfOf(session: unknown): string {
  return (session as { state?: { secret?: string } } | undefined)?.state?.secret ?? '';
}
