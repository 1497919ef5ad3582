/** The scopes that are ours; every other one is a permission of an API, and means nothing without its `resource`. */
export const OIDC_SCOPES: ReadonlySet<string> = new Set([
  'openid',
  'profile',
  'email',
  'roles',
  'offline_access',
]);
