/**
 * One pass of a person through our pages, as the interaction door sees it: the only wrapper over the provider's
 * `interaction*` functions. Whatever a step decides is recorded durably *before* the provider learns of it, so no
 * sign-in goes on without its record.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { errors, type InteractionResults, type Provider } from 'oidc-provider';

import type { Account, AccountService } from '../accounts/account.ts';
import { signInTime } from '../accounts/sign-in-time.ts';
import type { Api, Permission } from '../apis/api.ts';
import { canonicalDetail } from '../apis/authorization-detail.ts';
import type { ApiService } from '../apis/service.ts';
import { appendInTransaction } from '../audit/append.ts';
import { consentKey, type RevocationList } from '../audit/revocations.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import type { ClientService } from '../clients/service.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { claimsOfScopes } from './claims-parameter.ts';
import {
  type AuthorizationDetails,
  type PresentedDetail,
  SHOWN_DETAILS,
  detailsForRecord,
} from './authorization-details.ts';
import { saveConsent, saveDetails } from './consents.ts';
import { wordsOf } from './entitlement.ts';
import { standingOf } from './former-apis.ts';
import { afterWithdrawal, grantIdFor, saveGrant } from './grants.ts';
import { ACR_ONE_FACTOR, ACR_TWO_FACTORS, amrFor, type SecondFactorReason } from './requirements.ts';
import type { PermissionsByApi } from './resources.ts';
import { OIDC_SCOPES } from './scopes.ts';

export type InteractionStep =
  | { name: 'login'; reasons: string[]; loginHint?: string }
  | { name: 'mfa'; reason: SecondFactorReason }
  | { name: 'access'; role: string }
  | {
      name: 'consent';
      /** What it asks for in the words of its own types (RFC 9396). */
      details: PresentedDetail[];
      scopes: string[];
      /** Asked for by name, and in none of the scopes. */
      claims: string[];
      apis: RequestedApi[];
    };

/** What a client asks for at one API. */
export interface RequestedApi extends Pick<Api, 'identifier' | 'name'> {
  permissions: Permission[];
}

export interface Interaction {
  uid: string;
  step: InteractionStep;
  client: Client;
  /** Where the answer goes. */
  redirectUri?: string;
  /** Who is signed in, as far as this pass has come. */
  account?: Account;
  /** Set once a second factor was accepted in this pass, until the person continues. */
  isSecondFactorDone: boolean;
  /** Set where that factor was enrolled in this pass, so that its recovery codes were shown. */
  isNewlyEnrolled: boolean;
}

export type InteractionLookup =
  | { kind: 'found'; interaction: Interaction }
  /** Over, or of another browser, or never there. */
  | { kind: 'expired' }
  /** It exists, but the browser did not send its cookie. */
  | { kind: 'no-cookie' };

export interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
}

export interface Interactions {
  find: (exchange: Exchange, uid: string) => Promise<InteractionLookup>;
  /** Each of these returns the URL to go on at, or throws AppError `interaction_ended` (410). */
  finishLogin: (exchange: Exchange, account: Account, startedAt: Date) => Promise<string>;
  /** Remembers the second factor; `continueUrl` goes on, at once or after the recovery codes were shown. */
  acceptSecondFactor: (
    exchange: Exchange,
    account: Account,
    factor: { method: 'otp' | 'recovery'; isNewlyEnrolled?: boolean },
  ) => Promise<void>;
  continueUrl: (exchange: Exchange) => Promise<string>;
  grantConsent: (exchange: Exchange, interaction: Interaction) => Promise<string>;
  declineConsent: (exchange: Exchange, interaction: Interaction) => Promise<string>;
  /** For the page that tells the person so: many close it, and nothing else would tell who was turned away. */
  recordAccessDenied: (interaction: Interaction) => void;
  denyAccess: (exchange: Exchange) => Promise<string>;
  /** Asks for another account on the same pass. */
  switchAccount: (exchange: Exchange) => Promise<void>;
}

export interface InteractionsDependencies {
  /** The provider of now: it changes with the keys. */
  provider: () => Provider;
  accounts: AccountService;
  clients: ClientService;
  apis: ApiService;
  authorizationDetails: AuthorizationDetails;
  fingerprint: (secret: string) => string;
  db: Database;
  revocations: RevocationList;
  clock: Clock;
}

/** A note of ours in the pass's result; the library passes over it. */
const NEWLY_ENROLLED = 'newly_enrolled';

type Details = Awaited<ReturnType<Provider['interactionDetails']>>;

export function createInteractions(dependencies: InteractionsDependencies): Interactions {
  const { provider, accounts, clients, apis, authorizationDetails, db, revocations, clock } = dependencies;
  const lookUp = ({ req, res }: Exchange): Promise<Details> => provider().interactionDetails(req, res);
  const detailsOf = (exchange: Exchange): Promise<Details> => unlessEnded(() => lookUp(exchange));

  /** The record first: what is not recorded did not happen. */
  const finish = async (
    { req, res }: Exchange,
    result: InteractionResults,
    isMerged = true,
  ): Promise<string> => {
    await currentUnitOfWork()?.commit();
    return unlessEnded(() =>
      provider().interactionResult(req, res, result, { mergeWithLastSubmission: isMerged }),
    );
  };

  const present = async (details: Details): Promise<Interaction | undefined> => {
    const client = await clients.find(String(details.params['client_id']));
    if (!client) return undefined;
    const submitted = details.result ?? details.lastSubmission;
    const sub = details.session?.accountId ?? submitted?.login?.accountId;
    const account = sub === undefined ? undefined : await accounts.findBySub(sub);
    const isSecondFactorDone =
      details.prompt.name === 'mfa' && details.result?.login?.acr === ACR_TWO_FACTORS;
    return {
      uid: details.uid,
      step: await stepOf(details, apis, authorizationDetails),
      client,
      ...(typeof details.params['redirect_uri'] === 'string' && {
        redirectUri: details.params['redirect_uri'],
      }),
      ...(account ? { account } : {}),
      isSecondFactorDone,
      isNewlyEnrolled: isSecondFactorDone && details.result?.[NEWLY_ENROLLED] === true,
    };
  };

  return {
    find: async (exchange, uid) => {
      let details: Details;
      try {
        details = await lookUp(exchange);
      } catch (error) {
        if (!(error instanceof errors.SessionNotFound)) throw error;
        const exists = (await provider().Interaction.find(uid)) !== undefined;
        return { kind: exists && error.message && isCookieMissing(error) ? 'no-cookie' : 'expired' };
      }
      const interaction = details.uid === uid ? await present(details) : undefined;
      return interaction ? { kind: 'found', interaction } : { kind: 'expired' };
    },

    finishLogin: async (exchange, account, startedAt) => {
      const details = await detailsOf(exchange);
      if (details.grantId !== undefined && details.session?.accountId !== account.sub) {
        // Another person's, and about to be revoked with their session: this pass must not end with it.
        delete details.grantId;
        await details.persist();
      }
      return finish(exchange, {
        login: {
          accountId: account.sub,
          acr: ACR_ONE_FACTOR,
          amr: amrFor(undefined),
          ts: await signInTime(dependencies, { account, startedAt }),
        },
      });
    },

    acceptSecondFactor: async (exchange, account, { method, isNewlyEnrolled = false }) => {
      const details = await detailsOf(exchange);
      const before = details.lastSubmission;
      const ts = before?.login?.ts ?? (await loginTimeOf(provider(), details));
      await finish(exchange, {
        login: {
          accountId: account.sub,
          acr: ACR_TWO_FACTORS,
          amr: amrFor(method),
          ...(ts === undefined ? {} : { ts }),
        },
        [NEWLY_ENROLLED]: isNewlyEnrolled,
      });
    },

    continueUrl: async (exchange) => (await detailsOf(exchange)).returnTo,

    grantConsent: async (exchange, interaction) => {
      const { client, account, step } = interaction;
      if (!account || step.name !== 'consent') throw new Error('consent needs an account and its own step');
      const startedAt = clock.now();
      await afterWithdrawal({ accountId: account.sub, clientId: client.clientId }, dependencies);
      const consent = consentKey({ sub: account.sub, clientId: client.clientId });
      const withdrawnAt = revocations.endedUpTo('consent', consent);
      // Once more, while this waited: that was the last word.
      if (withdrawnAt !== undefined && withdrawnAt >= startedAt) throw interactionEnded();
      const details = await detailsOf(exchange);
      const permissions = permissionsByApi(step.apis);
      const shown = step.details.map(({ detail }) => detail);
      const sessionUid = details.session?.uid;
      if (!sessionUid) throw new Error('consent needs a session');
      await db.transaction(async (tx) => {
        if (client.consent === 'once') {
          await saveConsent(tx, {
            accountId: account.id,
            clientId: client.clientId,
            scopes: step.scopes,
            permissions,
            at: clock.now(),
          });
          await saveDetails(tx, {
            accountId: account.id,
            clientId: client.clientId,
            details: step.details.filter(({ isRemembered }) => isRemembered).map(({ detail }) => detail),
            at: clock.now(),
          });
        }
        await appendInTransaction(tx, {
          type: 'consent.granted',
          outcome: 'success',
          actor: { kind: 'account', id: account.id },
          accountId: account.id,
          clientId: client.clientId,
          sessionUid,
          payload: {
            scope: step.scopes.join(' '),
            ...(step.claims.length > 0 ? { claims: step.claims } : {}),
            ...(step.apis.length > 0 ? { permissions: inWords(permissions) } : {}),
            ...detailsForRecord(shown, dependencies.fingerprint),
            remembered: client.consent === 'once',
          },
        });
      });
      // The session's own, unless it was ended since the page was asked for.
      const current = details.grantId && (await provider().Grant.find(details.grantId));
      const id = current
        ? current.jti
        : grantIdFor({ sessionUid, clientId: client.clientId, accountId: account.sub }, revocations);
      const grant = await saveGrant(provider(), {
        id,
        accountId: account.sub,
        clientId: client.clientId,
        scopes: step.scopes,
        claims: [...step.claims, ...claimsOfScopes(step.scopes)],
        permissions,
      });
      return finish(exchange, {
        consent: { grantId: grant.jti },
        [SHOWN_DETAILS]: shown.map(canonicalDetail),
      });
    },

    declineConsent: async (exchange, { client, account }) => {
      currentUnitOfWork()?.record({
        type: 'consent.declined',
        outcome: 'failure',
        clientId: client.clientId,
        ...(account ? { accountId: account.id, actor: { kind: 'account', id: account.id } } : {}),
        payload: {},
      });
      return finish(exchange, { error: 'access_denied', error_description: 'the person declined' }, false);
    },

    recordAccessDenied: ({ client, account, step }) => {
      currentUnitOfWork()?.record({
        type: 'access.denied',
        outcome: 'failure',
        clientId: client.clientId,
        ...(account ? { accountId: account.id, actor: { kind: 'account', id: account.id } } : {}),
        payload: { reason: 'role_missing', ...(step.name === 'access' ? { required_role: step.role } : {}) },
      });
    },

    denyAccess: async (exchange) => {
      const refusal = {
        error: 'access_denied',
        error_description: 'the person lacks the role that the client requires',
      };
      return finish(exchange, refusal, false);
    },

    switchAccount: async (exchange) => {
      const details = await detailsOf(exchange);
      details.prompt = { name: 'login', reasons: ['switch_account'], details: {} };
      delete details.lastSubmission;
      delete details.result;
      await details.persist();
    },
  };
}

/** The session may be revoked between two looks at it. @throws AppError `interaction_ended` (410) */
async function unlessEnded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof errors.SessionNotFound)) throw error;
    throw interactionEnded(error);
  }
}

function interactionEnded(cause?: unknown): AppError {
  const message = 'This page has expired. Go back to the app and start again.';
  return new AppError('interaction_ended', 410, message, { cause });
}

function isCookieMissing(error: errors.SessionNotFound): boolean {
  return String(error.error_description).includes('cookie not found');
}

async function stepOf(
  details: Details,
  apis: ApiService,
  authorizationDetails: AuthorizationDetails,
): Promise<InteractionStep> {
  const { prompt, params } = details;
  switch (prompt.name) {
    case 'mfa':
      return {
        name: 'mfa',
        reason: (prompt.details['reason'] as SecondFactorReason | undefined) ?? 'account',
      };
    case 'access':
      return { name: 'access', role: String(prompt.details['role']) };
    case 'consent':
      return {
        name: 'consent',
        scopes: wordsOf(
          params['scope'] ?? (params['authorization_details'] === undefined ? 'openid' : ''),
        ).filter((word) => OIDC_SCOPES.has(word)),
        claims: (prompt.details['claims'] as string[] | undefined) ?? [],
        details: authorizationDetails.present(params['authorization_details']),
        apis: await requestedApis(details, apis),
      };
    default:
      return {
        name: 'login',
        reasons: prompt.reasons,
        ...(typeof params['login_hint'] === 'string' ? { loginHint: params['login_hint'] } : {}),
      };
  }
}

/** Without what was removed since the person was asked, also where something of its name has come instead. */
async function requestedApis({ prompt, iat }: Details, apis: ApiService): Promise<RequestedApi[]> {
  const permissions = (prompt.details['permissions'] as PermissionsByApi | undefined) ?? {};
  const requested = await Promise.all(
    Object.entries(permissions).map(async ([identifier, names]) => {
      const api = await apis.find(identifier);
      const asked = standingOf(api, iat).filter(({ name }) => names.includes(name));
      return api && asked.length > 0 ? [{ identifier, name: api.name, permissions: asked }] : [];
    }),
  );
  return requested.flat();
}

function permissionsByApi(apis: readonly RequestedApi[]): PermissionsByApi {
  return Object.fromEntries(
    apis.map(({ identifier, permissions }) => [identifier, permissions.map(({ name }) => name)]),
  );
}

function inWords(permissions: PermissionsByApi): string[] {
  return Object.entries(permissions).flatMap(([api, names]) => names.map((name) => `${api} ${name}`));
}

/** A step up keeps the time of the sign-in: the password was not asked again. */
async function loginTimeOf(provider: Provider, details: Details): Promise<number | undefined> {
  const uid = details.session?.uid;
  return uid === undefined ? undefined : (await provider.Session.findByUid(uid))?.loginTs;
}
