import type { AccountClaims, FindAccount, KoaContextWithOIDC } from 'oidc-provider';

import type { Account, AccountService } from '../accounts/account.ts';
import { accountClaims } from '../accounts/claims.ts';
import type { RbacService, RolePermissions } from '../rbac/role.ts';
import { scopesOf } from './claims-parameter.ts';
import { orTemporarilyUnavailable } from './errors.ts';

/** What the rest of this folder reads from `ctx.oidc.account` beyond what the library does. */
export interface ProviderAccount {
  /** The `sub`. */
  accountId: string;
  /** The account's own id, for the audit log. */
  id: string;
  account: Account;
  roles: () => Promise<{ name: string; requiresMfa: boolean }[]>;
  /** The roles that permit something at the API, and what. */
  rolesPermitting: (api: string) => Promise<RolePermissions[]>;
  /** @param claims those that were asked for by name, and granted */
  claims: (use: string, scope: string, claims?: object) => Promise<AccountClaims>;
}

/** By the account's own `sub`. */
export type FindPerson = (sub: string) => Promise<ProviderAccount | undefined>;

/** A disabled account is not found: no token is issued for it, and no page believes that it is signed in. */
export function createFindPerson({
  accounts,
  rbac,
}: {
  accounts: Pick<AccountService, 'findBySub'>;
  rbac: RbacService;
}): FindPerson {
  return async (sub) => {
    const account = await orTemporarilyUnavailable(() => accounts.findBySub(sub));
    return account && !account.disabledAt ? present(account, rbac) : undefined;
  };
}

export function createFindAccount({
  findPerson,
  subjectOf,
}: {
  findPerson: FindPerson;
  /** From what the library looks for to the account's own `sub`. */
  subjectOf: (ctx: KoaContextWithOIDC, sub: string) => Promise<string | undefined>;
}): FindAccount {
  return async (ctx, named) => {
    const sub = await subjectOf(ctx, named);
    const person = sub === undefined ? undefined : await findPerson(sub);
    return person as unknown as ReturnType<FindAccount>;
  };
}

function present(account: Account, rbac: RbacService): ProviderAccount {
  let roles: ReturnType<ProviderAccount['roles']> | undefined;
  const permitting = new Map<string, Promise<RolePermissions[]>>();
  const rolesOnce = (): ReturnType<ProviderAccount['roles']> =>
    (roles ??= orTemporarilyUnavailable(() => rbac.rolesOf(account.id)));
  return {
    accountId: account.sub,
    id: account.id,
    account,
    roles: rolesOnce,
    rolesPermitting: (api) => {
      const known =
        permitting.get(api) ??
        orTemporarilyUnavailable(() => rbac.rolesPermitting(api, { accountId: account.id }));
      permitting.set(api, known);
      return known;
    },
    claims: async (_use, scope, claims = {}) => {
      // The library lets `roles` into every ID token (configuration.ts): the scope decides here whether they exist.
      const scopes = new Set([...scope.split(' '), ...scopesOf(Object.keys(claims))]);
      const roles = scopes.has('roles') ? (await rolesOnce()).map(({ name }) => name) : [];
      return { ...accountClaims({ account, roles, scopes }) };
    },
  };
}
