/**
 * An API may be deleted and another registered under its name. What a person let a client do at the former one says
 * nothing about that: neither what stands in the grant of their session, nor a code or refresh token from before.
 *
 * Elsewhere: access tokens for an API that is deleted (audit/revocations.ts), and what is remembered of consents, which
 * goes with the API's permissions (consents.ts).
 */
import { type Grant, Provider } from 'oidc-provider';

import type { Api } from '../apis/api.ts';

/** A grant outlives questions that were asked under it, so it has a time for each API. In seconds of the epoch. */
interface DatedGrant {
  iat?: number;
  resources?: Record<string, string>;
  /** When the person was last asked about the API, or had not to be. Grants from before there was that: at `iat`. */
  allowedAt?: Record<string, number>;
}

/** Where a grant has to stand, and what it holds at APIs is nobody's question. */
const ROUTES_ASIDE: ReadonlySet<string | undefined> = new Set(['userinfo', 'introspection']);

/** Whether the API was registered after that time (in seconds), so that another one had its name then. */
export function predates(at: number | undefined, { createdAt }: Pick<Api, 'createdAt'>): boolean {
  return at !== undefined && at < Math.floor(createdAt.getTime() / 1000);
}

/** Notes that the person's word on these APIs is of that time (in seconds). */
export function dateResources(grant: Grant, identifiers: readonly string[], at: number): void {
  const dated = grant as DatedGrant;
  dated.allowedAt = {
    ...dated.allowedAt,
    ...Object.fromEntries(identifiers.map((identifier) => [identifier, at])),
  };
}

/** From then on a grant that is found holds nothing at an API that is gone, whatever has its name now. */
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
        return api && !predates(grant.allowedAt?.[identifier] ?? grant.iat, api) ? [[identifier, scope]] : [];
      }),
    );
    // Another object: the store may hand the same one to others.
    return Object.assign(grant, { resources: Object.fromEntries(held.flat()) });
  };
}
