/**
 * Roles: names given to accounts, which relying parties read from the claim `roles` and Gatehouse's own doors ask for.
 *
 * This folder owns the tables `roles`, `account_roles` and `role_permissions`. It holds that the built-in role `admin`
 * always exists and that somebody enabled always has it, unless an operator insists. A role carries permissions of
 * APIs; which there are is the APIs' business (apis/).
 *
 * Elsewhere: how a client wants the claim named and filtered (clients/, oidc/).
 */
import type { Actor } from '../audit/events.ts';

/** The role of Gatehouse's own administrators; made by the migrations, asks for a second factor. */
export const ADMINISTRATOR_ROLE = 'admin';

export interface Role {
  id: string;
  /** `[a-z0-9:_./-]{1,64}` */
  name: string;
  description?: string;
  /** Whoever has it must sign in with a second factor. */
  requiresMfa: boolean;
  createdAt: Date;
}

/** What a role permits at an API. */
export interface RolePermissions {
  role: string;
  api: string;
  /** By name. */
  permissions: string[];
}

export interface RolePermissionsChange {
  role: string;
  /** The API's identifier. */
  api: string;
  permissions: readonly string[];
}

export interface RbacService {
  /** @throws AppError 422 `role_name_invalid`, 409 `role_taken` */
  createRole: (
    input: { name: string; description?: string; requiresMfa?: boolean },
    by: Actor,
  ) => Promise<Role>;
  /** By name, with the number of accounts that have it. */
  listRoles: () => Promise<(Role & { accounts: number })[]>;
  /** @throws AppError 404 `role_not_found` */
  getRole: (name: string) => Promise<Role>;
  /** @returns whether the account did not have it before. @throws AppError 404 `role_not_found`, `account_not_found` */
  grantRole: (accountId: string, role: string, by: Actor) => Promise<boolean>;
  /**
   * @returns whether the account had it
   * @throws AppError 404 `role_not_found`; 409 `last_administrator` unless `force`
   */
  revokeRole: (accountId: string, role: string, by: Actor, options?: { force?: boolean }) => Promise<boolean>;
  /** @throws AppError 404 `role_not_found`; 409 `role_built_in`, `role_in_use` unless `force` */
  deleteRole: (name: string, by: Actor, options?: { force?: boolean }) => Promise<void>;
  /** Sorted by name. */
  rolesOf: (accountId: string) => Promise<Role[]>;
  /**
   * Lets whoever has the role do that at the API.
   *
   * @returns the permissions that it did not carry before
   * @throws AppError 404 `role_not_found`, `api_not_found`, `permission_not_found`
   */
  permit: (change: RolePermissionsChange, by: Actor) => Promise<string[]>;
  /** @returns the permissions that it carried. @throws AppError as `permit` */
  forbid: (change: RolePermissionsChange, by: Actor) => Promise<string[]>;
  /** What the role carries, by API. @throws AppError 404 `role_not_found` */
  permissionsOf: (role: string) => Promise<RolePermissions[]>;
  /** The roles that carry something at the API; with an account, those that it has. Read past any cache. */
  rolesPermitting: (api: string, options?: { accountId?: string }) => Promise<RolePermissions[]>;
}
