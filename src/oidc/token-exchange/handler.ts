/**
 * Token exchange (RFC 8693): a client that holds somebody's token gets another for an API behind it. It does so as the
 * person (impersonation), or as itself on their behalf (delegation: the token names who acts, and who acted before).
 *
 * - Nothing is possible without the client's policy: the APIs, the clients whose tokens it exchanges, and the modes.
 * - At the API that the presented token is for, the new one permits no more than that did; at another, what the operator
 *   lets the client do there, and on the way back no more than was permitted on the way out. Nowhere more than the
 *   person may.
 * - It lives no longer than the tokens that were presented, and ends with them, with the person's sign-in, and with
 *   that of a person who acts.
 * - A token that is bound to a key is exchanged with a proof of that key only.
 *
 * Here is the order of the checks. Elsewhere: what a request says (request.ts), the tokens that are presented
 * (presented.ts, id-token-authority.ts), what the new one stands on (authority.ts).
 */
import { hash } from 'node:crypto';
import { errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider';

import type { Api } from '../../apis/api.ts';
import type { ApiService } from '../../apis/service.ts';
import { type Client, TOKEN_EXCHANGE } from '../../clients/client.ts';
import { type Clock, epochSeconds } from '../../platform/clock.ts';
import { accessTokenSeconds, intersect, permittedByRoles, permittedToClient } from '../entitlement.ts';
import { orTemporarilyUnavailable } from '../errors.ts';
import type { ProviderAccount } from '../find-account.ts';
import { ACR_TWO_FACTORS } from '../requirements.ts';
import type { Resources } from '../resources.ts';
import { type Act, type Exchange, rememberExchange } from './authority.ts';
import type { Actor, PresentedTokens } from './presented.ts';
import { refuse, type Subject } from './subject.ts';
import { type ProofRules, provenKey } from './proof.ts';
import { ACCESS_TOKEN_TYPE, PARAMETERS, readRequest, REPEATABLE } from './request.ts';

/** Parties that act one for the other. */
const MAX_ACTORS = 4;
/** Tokens that were presented, one for the other: all of them are carried along. */
const MAX_PARENTS = 16;

export interface TokenExchangeDependencies {
  apis: Pick<ApiService, 'find' | 'permissionsOfClient'>;
  resources: Pick<Resources, 'info'>;
  presented: PresentedTokens;
  clientOf: (providerClient: object) => Client | undefined;
  findAccount: (ctx: KoaContextWithOIDC, sub: string) => Promise<ProviderAccount | undefined>;
  /** Whether what the subject stands on stands. */
  stands: (subject: Subject) => Promise<boolean>;
  /** The certificate that the client came with (RFC 8705). @throws where there is one that must not count */
  certificateOf: (ctx: KoaContextWithOIDC) => { raw: Buffer } | undefined;
  proofs: ProofRules;
  accessTokenSeconds: number;
  clock: Clock;
}

export function registerTokenExchange(provider: Provider, dependencies: TokenExchangeDependencies): void {
  const { apis, presented, clientOf, findAccount, stands, clock } = dependencies;

  const accountOf = async (ctx: KoaContextWithOIDC, client: Client, subject: Subject) => {
    const account = await findAccount(ctx, subject.accountId);
    if (!account) throw refuse('the account of the subject is gone or disabled');
    if (client.requireMfa && subject.acr !== ACR_TWO_FACTORS) {
      throw refuse('the client requires a second factor, which the subject did not use');
    }
    const { requireRole } = client;
    if (requireRole !== undefined && !(await account.roles()).some(({ name }) => name === requireRole)) {
      throw refuse('the subject lacks the role that the client requires');
    }
    return account;
  };

  const apiFor = async (client: Client, subject: Subject, target: string): Promise<Api> => {
    if (client.tokenExchangeAudiences?.includes(target) !== true) {
      throw new errors.InvalidTarget(
        'no token for that API is given in exchange',
        'the policy of the client does not name it',
      );
    }
    const api = await orTemporarilyUnavailable(() => apis.find(target));
    if (!api)
      throw new errors.InvalidTarget('no token for that API is given in exchange', 'there is no such API');
    if (!api.allowOfflineAccess && subject.sessionUid === undefined) {
      throw new errors.InvalidTarget('the API gives no access while the person is away');
    }
    return api;
  };

  /** @throws InvalidScope where it is nothing, or less than what was asked for */
  const scopeFor = async (
    {
      client,
      subject,
      api,
      account,
    }: { client: Client; subject: Subject; api: Api; account: ProviderAccount },
    asked: readonly string[] | undefined,
  ): Promise<string[]> => {
    const { identifier } = api;
    const limit =
      subject.audience === identifier
        ? (subject.scope ?? [])
        : permittedToClient(
            api,
            await orTemporarilyUnavailable(() => apis.permissionsOfClient(client.clientId, identifier)),
          );
    // Of a token on its way back: at another API it has gained nothing for this one.
    const before = subject.reach?.[identifier] ?? limit;
    const may = permittedByRoles(api, await account.rolesPermitting(identifier));
    const granted = intersect(asked ?? limit, limit, before, may);
    const isLess = asked !== undefined && granted.length < new Set(asked).size;
    if (granted.length === 0 || isLess) {
      throw new errors.InvalidScope('the exchange does not reach so far', (asked ?? limit).join(' '));
    }
    return granted;
  };

  /** @returns what the new token is bound to */
  const checkPossession = async (
    ctx: KoaContextWithOIDC,
    client: Client,
    tokens: readonly Pick<Subject, 'jkt' | 'certificate'>[],
  ): Promise<{ jkt?: string; certificate?: string }> => {
    const jkt = await provenKey(ctx, client, dependencies.proofs);
    const isCertificateBound = client.tlsClientCertificateBoundAccessTokens === true;
    const isWanted = isCertificateBound || tokens.some((token) => token.certificate !== undefined);
    const presentedCertificate = isWanted ? dependencies.certificateOf(ctx) : undefined;
    const certificate = presentedCertificate && hash('sha256', presentedCertificate.raw, 'base64url');
    for (const token of tokens) {
      if (token.jkt !== undefined && token.jkt !== jkt)
        throw refuse('it is bound to a key that was not proven');
      if (token.certificate !== undefined && token.certificate !== certificate) {
        throw refuse('it is bound to a certificate that was not presented');
      }
    }
    if (client.dpopBoundAccessTokens && jkt === undefined) {
      throw new errors.InvalidGrant('DPoP proof JWT not provided');
    }
    if (isCertificateBound && certificate === undefined) {
      throw new errors.InvalidGrant('mutual TLS client certificate not provided');
    }
    if (isCertificateBound && jkt !== undefined) {
      throw new errors.InvalidRequest('multiple proof-of-possession mechanisms are not allowed');
    }
    return {
      ...(jkt === undefined ? {} : { jkt }),
      ...(isCertificateBound && certificate !== undefined ? { certificate } : {}),
    };
  };

  const exchange = async (ctx: KoaContextWithOIDC): Promise<void> => {
    const providerClient = ctx.oidc.client!;
    const client = clientOf(providerClient);
    if (!client) throw new Error('an exchange without a client');
    const request = readRequest(ctx.oidc.params ?? {});
    const subject = await presented.subject(ctx, client, request.subject);
    const actor = request.actor && (await presented.actor(ctx, client, request.actor));
    checkPolicy(client, subject, actor);
    const actors = [...(subject.actors ?? []), ...(actor?.person ? [actor.person] : [])];
    if (!(await stands({ ...subject, actors }))) throw refuse('the sign-in that it stands on has ended');
    const account = await accountOf(ctx, client, subject);
    if (actor?.person && !(await findAccount(ctx, actor.person.accountId))) {
      throw refuse('the account of the actor is gone or disabled');
    }
    ctx.oidc.entity('Account', account);
    const api = await apiFor(client, subject, request.target);
    const scope = await scopeFor({ client, subject, api, account }, request.scope);
    const binding = await checkPossession(ctx, client, [subject, ...(actor ? [actor] : [])]);

    const act = chained(actor, subject);
    const parents = [...subject.parents, ...(actor ? [actor.parent] : [])];
    rememberExchange(ctx, {
      exchange: {
        clientId: subject.signedInTo,
        iat: subject.iat,
        parents,
        ...pick(subject, ['through']),
        ...reachOf(subject),
        ...(actors.length > 0 ? { actors } : {}),
      },
      ...pick(subject, ['grantId', 'accountId', 'sessionUid', 'authTime', 'acr', 'amr']),
      ...(act ? { act } : {}),
      mode: actor ? 'delegation' : 'impersonation',
      subjectToken: request.subject.value,
      ...(actor ? { actor: actor.act.sub } : {}),
    });

    const info = await dependencies.resources.info(ctx, api.identifier);
    // A revocation is remembered for as long as what it ends: no token may outlive one that it stands on.
    const secondsLeft = Math.min(subject.exp, actor?.exp ?? Infinity) - epochSeconds(clock);
    // To the library none would mean the usual life.
    if (secondsLeft < 1) throw refuse('it has expired meanwhile');
    const token = new provider.AccessToken({
      accountId: subject.accountId,
      client: providerClient,
      grantId: subject.grantId,
      ...(subject.sessionUid === undefined
        ? {}
        : { sessionUid: subject.sessionUid, expiresWithSession: true }),
      gty: TOKEN_EXCHANGE,
      expiresIn: Math.min(
        accessTokenSeconds(
          dependencies.accessTokenSeconds,
          client.accessTokenTtlSeconds,
          api.accessTokenTtlSeconds,
        ),
        secondsLeft,
      ),
    });
    const { ResourceServer } = provider as unknown as {
      ResourceServer: new (identifier: string, info: object) => never;
    };
    token.resourceServer = new ResourceServer(api.identifier, info);
    token.scope = scope.join(' ');
    if (binding.jkt !== undefined) token.setThumbprint('jkt', binding.jkt);
    if (binding.certificate !== undefined) Object.assign(token, { 'x5t#S256': binding.certificate });
    ctx.oidc.entity('AccessToken', token);
    const value = await token.save();
    ctx.body = {
      access_token: value,
      issued_token_type: ACCESS_TOKEN_TYPE,
      token_type: token.tokenType,
      expires_in: token.expiration,
      scope: token.scope,
    };
  };

  provider.registerGrantType(TOKEN_EXCHANGE, exchange, PARAMETERS, REPEATABLE);
}

/** @throws InvalidRequest, UnauthorizedClient */
function checkPolicy(client: Client, subject: Subject, actor: Actor | undefined): void {
  const mode = actor ? 'delegation' : 'impersonation';
  if (client.tokenExchangeModes?.includes(mode) !== true) {
    throw new errors.UnauthorizedClient(`the client may not exchange tokens by ${mode}`);
  }
  const isOwn = subject.issuedTo === client.clientId;
  if (!isOwn && client.tokenExchangeSubjectClients?.includes(subject.issuedTo) !== true) {
    throw refuse(`the policy of the client does not name ${subject.issuedTo}, which it was issued to`);
  }
  if (actor?.person?.accountId === subject.accountId) throw refuse('nobody acts for themselves');
  const isTooLong =
    subject.parents.length >= MAX_PARENTS || depthOf(subject.act) + (actor ? 1 : 0) > MAX_ACTORS;
  if (isTooLong) throw refuse('too many exchanges in a row');
}

/** The one who acts now outside, those before within (RFC 8693 §4.1). Who acted is never forgotten. */
function chained(actor: Actor | undefined, { act }: Subject): Act | undefined {
  if (!actor) return act;
  return { ...actor.act, ...(act ? { act } : {}) };
}

/** What the subject permits where it is for, and what those before it did elsewhere. */
function reachOf({ reach, audience, scope }: Subject): Pick<Exchange, 'reach'> {
  if (audience === undefined) return reach ? { reach } : {};
  return { reach: { ...reach, [audience]: [...(scope ?? [])] } };
}

function depthOf(act: Act | undefined): number {
  return act ? 1 + depthOf(act.act) : 0;
}

function pick<T extends object, K extends keyof T>(object: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(
    names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]]),
  ) as Pick<T, K>;
}
