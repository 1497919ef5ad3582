import type { Api } from '../../apis/api.ts';

const KNOWN_API = new Set([
  'identifier',
  'name',
  'accessTokenFormat',
  'accessTokenTtlSeconds',
  'signingAlg',
  'allowOfflineAccess',
  'clientId',
  'permissions',
  'createdAt',
  'updatedAt',
  'refreshTokenIdleSeconds',
  'refreshTokenAbsoluteSeconds',
]);

/** Whether the API has nothing that the fast paths do not know of; anything else may change its tokens. */
export function isKnownApi(api: Api): boolean {
  return Object.keys(api).every((name) => KNOWN_API.has(name));
}
