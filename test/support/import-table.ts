const SUBJECTS = ['accounts', 'rbac', 'clients', 'apis', 'keys', 'audit', 'mail', 'sign-out'];

/** Who may import whom. A folder that is not listed may not exist. docs/architecture.md shows the same table. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  platform: [],
  config: [],
  audit: ['platform'],
  mail: ['platform'],
  accounts: ['platform', 'audit', 'mail'],
  rbac: ['platform', 'audit', 'mail'],
  clients: ['platform', 'audit', 'mail'],
  apis: ['platform', 'audit'],
  keys: ['platform', 'audit', 'mail'],
  'sign-out': ['platform', 'audit'],
  approvals: ['platform', 'audit'],
  oidc: ['platform', 'audit', 'accounts', 'rbac', 'clients', 'apis', 'keys', 'approvals'],
  http: ['platform'],
  interaction: ['http', 'oidc', 'accounts', 'clients', 'audit', 'platform'],
  account: ['http', 'oidc', 'accounts', 'clients', 'audit', 'platform'],
  admin: ['http', 'oidc', 'accounts', 'rbac', 'clients', 'keys', 'audit', 'platform'],
  endpoints: ['http', 'apis', 'clients', 'audit', 'platform'],
  ops: ['http', 'platform'],
  demo: ['http', 'platform'],
  workers: ['platform'],
  jobs: ['accounts', 'clients', 'keys', 'audit', 'mail', 'oidc', 'platform'],
  cli: ['main.ts', 'app.ts', 'state.ts', 'subjects.ts', ...SUBJECTS, 'config', 'platform'],
};
