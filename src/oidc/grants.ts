/**
 * Grants: what a person let a client do. One per session and client, under an id that both determine, so that two tabs
 * that sign in at once share it instead of ending each other's tokens (the library binds tokens to the session's
 * current grant). A revoked grant's id is never used again: the next one takes the next number.
 */
import type { Grant, KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { RevocationList } from '../audit/revocations.ts';
import type { Client } from '../clients/client.ts';
import type { Queryable } from '../platform/database.ts';
import { digest } from '../platform/ids.ts';
import { findConsent } from './consents.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';

export interface GrantDependencies {
  db: Queryable;
  revocations: RevocationList;
  clientOf: (providerClient: object) => Client | undefined;
}

/** More revocations of one client's grants in one session than anybody has patience for. */
const MAX_GRANTS_PER_SESSION = 1000;

export function grantIdFor(
  { sessionUid, clientId, accountId }: { sessionUid: string; clientId: string; accountId: string },
  revocations: RevocationList,
): string {
  for (let number = 0; number < MAX_GRANTS_PER_SESSION; number += 1) {
    const id = digest('grant', sessionUid, clientId, accountId, String(number));
    if (!revocations.isRevoked({ grantId: id })) return id;
  }
  throw new Error('too many revoked grants in one session');
}

/** oidc-provider's `loadExistingGrant`: the grant that stands, or one that needs no question. */
export function createLoadExistingGrant({ db, revocations, clientOf }: GrantDependencies) {
  return async (ctx: KoaContextWithOIDC): Promise<Grant | undefined> => {
    const { oidc } = ctx;
    const client = oidc.client && clientOf(oidc.client);
    const account = oidc.account as unknown as ProviderAccount | undefined;
    if (!client || !account || !oidc.session) return undefined;
    const { Grant: GrantModel } = oidc.provider;

    const consented = (oidc.result as { consent?: { grantId?: string } } | undefined)?.consent?.grantId;
    if (consented) return GrantModel.find(consented);

    const current = oidc.session.grantIdFor(client.clientId);
    const existing = current ? await GrantModel.find(current) : undefined;
    const belongs = existing?.accountId === account.accountId ? existing : undefined;
    const scopes = await unquestionedScopes(db, client, account, [...oidc.requestParamOIDCScopes]);
    if (scopes.length === 0) return belongs;
    const missing = scopes.filter((scope) => !belongs?.getOIDCScopeEncountered().split(' ').includes(scope));
    if (belongs && missing.length === 0) return belongs;
    return saveGrant(oidc.provider, {
      id: grantIdFor(
        { sessionUid: oidc.session.uid, clientId: client.clientId, accountId: account.accountId },
        revocations,
      ),
      accountId: account.accountId,
      clientId: client.clientId,
      scopes,
    });
  };
}

/** Adds the scopes to the grant of that id, which is made where it does not exist. */
export async function saveGrant(
  provider: Provider,
  { id, accountId, clientId, scopes }: { id: string; accountId: string; clientId: string; scopes: string[] },
): Promise<Grant> {
  const grant =
    (await provider.Grant.find(id)) ?? new provider.Grant({ accountId, clientId, jti: id } as object);
  grant.addOIDCScope(scopes.join(' '));
  await grant.save();
  return grant;
}

/** The requested scopes that nobody need be asked about: the operator vouches, or the person said yes before. */
async function unquestionedScopes(
  db: Queryable,
  client: Client,
  account: ProviderAccount,
  requested: string[],
): Promise<string[]> {
  if (client.consent === 'never') return requested;
  if (client.consent === 'always') return [];
  const consent = await orTemporarilyUnavailable(() =>
    findConsent(db, { accountId: account.id, clientId: client.clientId }),
  );
  return requested.filter((scope) => consent?.scopes.includes(scope));
}
