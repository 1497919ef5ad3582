/**
 * An API may be deleted and another registered under its name, and so may a permission of one. What a person let a
 * client do at the former says nothing about the latter: neither what stands in the grant of their session, nor a code
 * or refresh token from before.
 *
 * Elsewhere: access tokens for an API that is deleted (audit/revocations.ts), and what is remembered of consents, which
 * goes with the API's permissions (consents.ts).
 */
import { type Grant, Provider } from 'oidc-provider';

import type { Api, StandingPermission } from '../apis/api.ts';

/** A grant outlives questions that were asked under it, so it has a time for each API. In seconds of the epoch. */
interface DatedGrant {
  iat?: number;
  resources?: Record<string, string>;
  /** When the person was last asked about the API, or had not to be. Grants from before there was that: at `iat`. */
  allowedAt?: Record<string, number>;
}

/** Where a grant has to stand, and what it holds at APIs is nobody's question. */
const ROUTES_ASIDE: ReadonlySet<string | undefined> = new Set(['userinfo', 'introspection']);

/** Whether the API or permission came after that time (in seconds), so that another one had its name then. */
export function predates(at: number | undefined, { createdAt }: { createdAt: Date }): boolean {
  return at !== undefined && at < Math.floor(createdAt.getTime() / 1000);
}

/** What there was of the API's permissions at that time (in seconds) already, under the API that it is. */
export function standingOf(api: Api | undefined, at: number | undefined): StandingPermission[] {
  if (!api || predates(at, api)) return [];
  return api.permissions.filter((permission) => !predates(at, permission));
}

/**
 * Notes that the person's word on these APIs is of that time (in seconds). One time does for all permissions of an API:
 * the grant was found (below), so what it held of a former one is gone before this makes it look young.
 */
export function dateResources(grant: Grant, identifiers: readonly string[], at: number): void {
  const dated = grant as DatedGrant;
  dated.allowedAt = {
    ...dated.allowedAt,
    ...Object.fromEntries(identifiers.map((identifier) => [identifier, at])),
  };
}

/** From then on a grant that is found holds no permission that is gone, whatever has its name now. */
export function forgetFormerApis(
  provider: Provider,
  findApi: (identifier: string) => Promise<Api | undefined>,
): void {
  const model = provider.Grant as unknown as {
    IN_PAYLOAD: string[];
    find: (id: string, options?: object) => Promise<DatedGrant | undefined>;
  };
  Object.defineProperty(model, 'IN_PAYLOAD', { value: [...model.IN_PAYLOAD, 'allowedAt'] });
  const { find } = model;
  model.find = async function findWithoutFormer(this: typeof model, id, options) {
    const grant = await find.call(this, id, options);
    if (!grant?.resources || ROUTES_ASIDE.has(Provider.ctx?.oidc?.route)) return grant;
    const held = await Promise.all(
      Object.entries(grant.resources).map(async ([identifier, scope]) => {
        const api = await findApi(identifier);
        const at = grant.allowedAt?.[identifier] ?? grant.iat;
        const names = new Set(standingOf(api, at).map(({ name }) => name));
        const words = scope.split(' ').filter((word) => names.has(word));
        return words.length > 0 ? [[identifier, words.join(' ')]] : [];
      }),
    );
    // Another object: the store may hand the same one to others.
    return Object.assign(grant, { resources: Object.fromEntries(held.flat()) });
  };
}
