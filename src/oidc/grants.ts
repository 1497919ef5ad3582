/**
 * Grants: what a person let a client do. One per session and client, under an id that both determine, so that two tabs
 * that sign in at once share it instead of ending each other's tokens (the library binds tokens to the session's
 * current grant). A revoked grant's id is never used again: the next one takes the next number, and after a consent was
 * withdrawn (withdrawal.ts) all of them are others.
 */
import type { Grant, KoaContextWithOIDC, Provider } from 'oidc-provider';

import { afterSecondOf, consentKey, type RevocationList } from '../audit/revocations.ts';
import type { UnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import type { Clock } from '../platform/clock.ts';
import type { Queryable } from '../platform/database.ts';
import { digest } from '../platform/ids.ts';
import { beyondScopes, requestedClaims } from './claims-parameter.ts';
import type { AuthorizationDetails } from './authorization-details.ts';
import { findConsent } from './consents.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';
import { dateResources } from './former-apis.ts';
import type { PermissionsByApi, Resources } from './resources.ts';

export interface GrantDependencies {
  db: Queryable;
  revocations: RevocationList;
  resources: Resources;
  authorizationDetails: AuthorizationDetails;
  clientOf: (providerClient: object) => Client | undefined;
  clock: Clock;
}

/** More revocations of one client's grants in one session than anybody has patience for. */
const MAX_GRANTS_PER_SESSION = 1000;

export function grantIdFor(
  { sessionUid, clientId, accountId }: { sessionUid: string; clientId: string; accountId: string },
  revocations: Pick<RevocationList, 'isRevoked' | 'endedUpTo'>,
): string {
  const withdrawnAt = revocations.endedUpTo('consent', consentKey({ sub: accountId, clientId }));
  const since = withdrawnAt === undefined ? [] : [withdrawnAt.toISOString()];
  for (let number = 0; number < MAX_GRANTS_PER_SESSION; number += 1) {
    const id = digest('grant', sessionUid, clientId, accountId, String(number), ...since);
    if (!revocations.isRevoked({ grantId: id })) return id;
  }
  throw new Error('too many revoked grants in one session');
}

/**
 * Times are whole seconds, so a grant of the very second in which the consent was withdrawn would be taken for one of
 * before. Whoever makes one waits for the next, and decides afterwards. A withdrawal that this process has not heard of
 * yet is met in the flush, and refuses.
 */
export async function afterWithdrawal(
  { accountId, clientId }: { accountId: string; clientId: string },
  { revocations, clock }: { revocations: Pick<RevocationList, 'endedUpTo'>; clock: Clock },
): Promise<void> {
  await afterSecondOf(revocations.endedUpTo('consent', consentKey({ sub: accountId, clientId })), clock);
}

/** What a grant is to hold: scopes of ours, claims that were asked for by name, and permissions of APIs. */
export interface Granting {
  scopes: string[];
  claims: string[];
  permissions: PermissionsByApi;
}

/** oidc-provider's `loadExistingGrant`: the grant that stands, or one that needs no question. */
export function createLoadExistingGrant({
  db,
  revocations,
  resources,
  authorizationDetails,
  clientOf,
  clock,
}: GrantDependencies) {
  return async (ctx: KoaContextWithOIDC): Promise<Grant | undefined> => {
    const { oidc } = ctx;
    const client = oidc.client && clientOf(oidc.client);
    const account = oidc.account as unknown as ProviderAccount | undefined;
    if (!client || !account || !oidc.session) return undefined;
    const { Grant: GrantModel } = oidc.provider;
    await afterWithdrawal(
      { accountId: account.accountId, clientId: client.clientId },
      { revocations, clock },
    );
    await resources.narrowToPerson(ctx, account);

    const consented = (oidc.result as { consent?: { grantId?: string } } | undefined)?.consent?.grantId;
    if (consented) return GrantModel.find(consented);

    const current = oidc.session.grantIdFor(client.clientId);
    const existing = current ? await GrantModel.find(current) : undefined;
    const belongs = existing?.accountId === account.accountId ? existing : undefined;
    const requested = {
      scopes: [...oidc.requestParamOIDCScopes],
      claims: requestedClaims(ctx),
      permissions: resources.requested(ctx),
    };
    const unquestioned = await unquestionedOf(db, client, account, requested);
    const isNeeded = !belongs && (await authorizationDetails.isGiven(ctx, client));
    if (isCovered(belongs, unquestioned) && !isNeeded) return belongs;
    return saveGrant(oidc.provider, {
      id: grantIdFor(
        { sessionUid: oidc.session.uid, clientId: client.clientId, accountId: account.accountId },
        revocations,
      ),
      accountId: account.accountId,
      clientId: client.clientId,
      ...unquestioned,
    });
  };
}

/**
 * Adds that to the grant of the id, which is made where it does not exist.
 *
 * @param allowedAt when the person was asked; now, unless it is given
 */
export async function saveGrant(
  provider: Provider,
  {
    id,
    accountId,
    clientId,
    scopes,
    claims,
    permissions,
    allowedAt = new Date(),
  }: { id: string; accountId: string; clientId: string; allowedAt?: Date } & Granting,
): Promise<Grant> {
  const grant =
    (await provider.Grant.find(id)) ?? new provider.Grant({ accountId, clientId, jti: id } as object);
  if (scopes.length > 0) grant.addOIDCScope(scopes.join(' '));
  if (claims.length > 0) grant.addOIDCClaims(claims);
  for (const [api, names] of Object.entries(permissions)) grant.addResourceScope(api, names.join(' '));
  dateResources(grant, Object.keys(permissions), Math.floor(allowedAt.getTime() / 1000));
  await grant.save();
  return grant;
}

interface ConsentingGrant {
  accountId?: string | undefined;
  clientId?: string | undefined;
  iat?: number | undefined;
}

/** What must not have been withdrawn for the request to give anything out: the consent that its grant stands for. */
export function requireConsent(
  { accountId, clientId, iat }: ConsentingGrant,
  unit: UnitOfWork | undefined,
): void {
  if (accountId === undefined || clientId === undefined) return;
  unit?.requireLive({
    consent: consentKey({ sub: accountId, clientId }),
    // One that was made by this very request has no time yet.
    issuedAt: iat === undefined ? new Date() : new Date(iat * 1000),
  });
}

/** Whether the grant holds all of that already; true also where there is nothing to hold. */
function isCovered(grant: Grant | undefined, { scopes, claims, permissions }: Granting): boolean {
  const held = grant?.getOIDCScopeEncountered().split(' ') ?? [];
  return (
    scopes.every((scope) => held.includes(scope)) &&
    claims.every((claim) => grant?.getOIDCClaimsEncountered().includes(claim)) &&
    Object.entries(permissions).every(([api, names]) => {
      const heldThere = grant?.getResourceScopeEncountered(api).split(' ') ?? [];
      return names.every((name) => heldThere.includes(name));
    })
  );
}

/** What nobody need be asked about: the operator vouches, or the person said yes before. */
async function unquestionedOf(
  db: Queryable,
  client: Client,
  account: ProviderAccount,
  requested: Granting,
): Promise<Granting> {
  if (client.consent === 'never') return requested;
  if (client.consent === 'always') return { scopes: [], claims: [], permissions: {} };
  const consent = await orTemporarilyUnavailable(() =>
    findConsent(db, { accountId: account.id, clientId: client.clientId }),
  );
  const permissions = Object.entries(requested.permissions)
    .map(([api, names]) => [api, names.filter((name) => consent?.permissions[api]?.includes(name))] as const)
    .filter(([, names]) => names.length > 0);
  const beyond = beyondScopes(requested.claims, consent?.scopes ?? []);
  return {
    scopes: requested.scopes.filter((scope) => consent?.scopes.includes(scope)),
    // One by its name alone is remembered by the grant of the session, and asked about again in the next.
    claims: requested.claims.filter((claim) => !beyond.includes(claim)),
    permissions: Object.fromEntries(permissions),
  };
}
