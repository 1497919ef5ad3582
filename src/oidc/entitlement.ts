/** What an access token for an API may hold: pure, so that the rules can be read as tables. */
import type { Api } from '../apis/api.ts';
import type { RolePermissions } from '../rbac/role.ts';

/** What those roles let somebody do at the API, as far as it (still) has such permissions. */
export function permittedByRoles(
  api: Pick<Api, 'permissions'>,
  roles: readonly Pick<RolePermissions, 'permissions'>[],
): string[] {
  const carried = new Set(roles.flatMap(({ permissions }) => permissions));
  return namesOf(api).filter((name) => carried.has(name));
}

/** What a client may do for itself, as far as the API (still) has such permissions. */
export function permittedToClient(api: Pick<Api, 'permissions'>, permissions: readonly string[]): string[] {
  return namesOf(api).filter((name) => permissions.includes(name));
}

export interface NarrowingInput {
  /** The words of `scope`, as the client wrote them. */
  requested: readonly string[];
  /** The scopes that are not an API's. */
  oidcScopes: ReadonlySet<string>;
  apis: readonly Pick<Api, 'permissions' | 'allowOfflineAccess'>[];
  /** Whether it asks for something in other words: authorization details. */
  hasDetails?: boolean;
}

/**
 * The request that is left when what nobody here knows is taken away (RFC 6749 §3.3), and access while the person is
 * away where an API that it names does not allow that (OIDC Core §11). `nothing`: it asks for no permission of the
 * APIs that it names.
 */
export function narrowRequest({
  requested,
  oidcScopes,
  apis,
  hasDetails = false,
}: NarrowingInput): { kind: 'narrowed'; scopes: string[] } | { kind: 'nothing' } {
  const ofApis = new Set(apis.flatMap(namesOf));
  if (!hasDetails && !requested.some((word) => ofApis.has(word))) return { kind: 'nothing' };
  const mayStay = apis.every(({ allowOfflineAccess }) => allowOfflineAccess);
  const scopes = requested.filter(
    (word) => ofApis.has(word) || (oidcScopes.has(word) && (word !== 'offline_access' || mayStay)),
  );
  return { kind: 'narrowed', scopes };
}

/** What is left of a request when it is held against each of those: the order is the request's. */
export function intersect(requested: Iterable<string>, ...limits: Iterable<string>[]): string[] {
  const sets = limits.map((limit) => new Set(limit));
  return [...new Set(requested)].filter((word) => sets.every((set) => set.has(word)));
}

/** The shortest life that anybody set, or the one that is configured. In seconds. */
export function accessTokenSeconds(configured: number, ...set: (number | undefined)[]): number {
  const given = set.filter((seconds) => seconds !== undefined);
  return given.length > 0 ? Math.min(...given) : configured;
}

export function wordsOf(scope: unknown): string[] {
  return typeof scope === 'string' ? scope.split(' ').filter(Boolean) : [];
}

function namesOf({ permissions }: Pick<Api, 'permissions'>): string[] {
  return permissions.map(({ name }) => name);
}
