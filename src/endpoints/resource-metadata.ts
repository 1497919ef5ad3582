/**
 * What a client must know to call an API (RFC 9728), for APIs that point at us instead of serving it themselves: as the
 * `resource_metadata` of their 401 (§5.1).
 */
import type { Middleware } from 'koa';

import type { Api } from '../apis/api.ts';
import type { AuthorizationType } from '../apis/authorization-type.ts';
import { protectedResourceMetadata } from '../apis/metadata.ts';

const RESOURCE_METADATA_PATH = '/oauth/resource-metadata';
const MAX_AGE_SECONDS = 300;

/** Below the issuer's path; `?resource=<identifier>` says which API. Everybody may read it. */
export function createResourceMetadataEndpoint({
  issuer,
  findApi,
  listTypes,
}: {
  issuer: string;
  findApi: (identifier: string) => Promise<Api | undefined>;
  /** Of authorization details, of all APIs. */
  listTypes: () => readonly AuthorizationType[];
}): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== RESOURCE_METADATA_PATH || !['GET', 'HEAD', 'OPTIONS'].includes(ctx.method))
      return next();
    ctx.vary('Origin');
    ctx.set('Access-Control-Allow-Origin', ctx.get('Origin') || '*');
    if (ctx.method === 'OPTIONS') {
      ctx.set('Access-Control-Allow-Headers', 'mcp-protocol-version');
      ctx.status = 204;
      return undefined;
    }
    const { resource } = ctx.query;
    const api = typeof resource === 'string' ? await findApi(resource) : undefined;
    if (!api) {
      ctx.set('Cache-Control', 'no-store');
      ctx.status = 404;
      ctx.body = {
        error: 'invalid_target',
        error_description: 'No API is registered here by that identifier.',
      };
      return undefined;
    }
    ctx.set('Cache-Control', `public, max-age=${MAX_AGE_SECONDS}`);
    ctx.body = protectedResourceMetadata(api, { issuer, types: listTypes() });
    return undefined;
  };
}
