/**
 * What a refresh token may still renew, and for how long it is good: the rules themselves, for whoever answers the
 * request.
 *
 * Of the lifetimes that the settings, the client and the APIs ask for, the strictest counts. So the settings are the
 * most that anybody gets, and grants, and the memory of revocations, which live as long as those allow, outlive every
 * refresh token.
 */
import type { ApiService } from '../apis/service.ts';
import type { Client } from '../clients/client.ts';
import { wordsOf } from './entitlement.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';

export interface RefreshLimits {
  idleSeconds: number;
  absoluteSeconds: number;
}

/** @param resource the APIs that the token is for */
export type FindRefreshLimits = (
  client: Client | undefined,
  resource: string | string[] | undefined,
) => Promise<RefreshLimits>;

export interface RefreshLifetimes {
  refreshTokenIdleSeconds: number;
  refreshTokenAbsoluteSeconds: number;
}

/** What an API or a client asks for. */
interface RefreshWish {
  refreshTokenIdleSeconds?: number;
  refreshTokenAbsoluteSeconds?: number;
}

/** The strictest of them all; the configured ones are always among them. */
export function strictest(
  ttl: RefreshLifetimes,
  wishes: readonly (RefreshWish | undefined)[],
): RefreshLimits {
  const least = (configured: number, wished: (number | undefined)[]): number =>
    Math.min(configured, ...wished.filter((seconds) => seconds !== undefined));
  return {
    idleSeconds: least(
      ttl.refreshTokenIdleSeconds,
      wishes.map((wish) => wish?.refreshTokenIdleSeconds),
    ),
    absoluteSeconds: least(
      ttl.refreshTokenAbsoluteSeconds,
      wishes.map((wish) => wish?.refreshTokenAbsoluteSeconds),
    ),
  };
}

export function createFindRefreshLimits({
  ttl,
  apis,
}: {
  ttl: RefreshLifetimes;
  apis: Pick<ApiService, 'find'>;
}): FindRefreshLimits {
  return async (client, resource) => {
    const wishes = await Promise.all(
      [resource ?? []].flat().map((identifier) => orTemporarilyUnavailable(() => apis.find(identifier))),
    );
    return strictest(ttl, [client, ...wishes]);
  };
}

/** How long a refresh token of a family that has lived for so long is good. */
export function refreshTokenSeconds(
  { idleSeconds, absoluteSeconds }: RefreshLimits,
  livedSeconds: number,
): number {
  return Math.max(1, Math.min(idleSeconds, absoluteSeconds - livedSeconds));
}

/**
 * Why a refresh token that stands renews nothing none the less: what it was given under may have been tightened since.
 *
 * @returns undefined where it does
 */
export async function whyRenewsNothing({
  client,
  scope,
  person,
  livedSeconds,
  limits,
}: {
  client: Client;
  scope: string | undefined;
  person: Pick<ProviderAccount, 'roles'>;
  livedSeconds: number;
  limits: RefreshLimits;
}): Promise<string | undefined> {
  if (livedSeconds >= limits.absoluteSeconds)
    return 'the family of the refresh token is at the end of its life';
  if (wordsOf(scope).includes('offline_access') && !client.scopes.includes('offline_access'))
    return 'the client may no longer act while the person is away';
  // A client that is closed to whoever lacks a role is closed to those who lost it.
  const { requireRole } = client;
  const hasRole =
    requireRole === undefined || (await person.roles()).some(({ name }) => name === requireRole);
  return hasRole ? undefined : 'the person no longer has the role that the client requires';
}
