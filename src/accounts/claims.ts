import type { Account } from './account.ts';

/** OIDC Core §5.1; `roles` is ours. */
export interface AccountClaims {
  sub: string;
  name?: string;
  preferred_username?: string;
  /** Seconds since the epoch. */
  updated_at?: number;
  email?: string;
  email_verified?: boolean;
  roles?: string[];
}

/**
 * What an application that was granted these scopes may know of the person (OIDC Core §5.4). What the account does not
 * have is left out (§5.3.2). Roles come under the scope `roles` and no other; a client's own name for them is oidc/'s.
 *
 * @param roles names, of which nothing is shown without the scope
 */
export function accountClaims({
  account,
  roles,
  scopes,
}: {
  account: Account;
  roles: readonly string[];
  scopes: ReadonlySet<string>;
}): AccountClaims {
  const { sub, name, username, email, emailVerified, updatedAt } = account;
  return {
    sub,
    ...(scopes.has('profile')
      ? {
          ...(name === undefined ? {} : { name }),
          ...(username === undefined ? {} : { preferred_username: username }),
          updated_at: Math.floor(updatedAt.getTime() / 1000),
        }
      : {}),
    ...(scopes.has('email') ? { email, email_verified: emailVerified } : {}),
    ...(scopes.has('roles') ? { roles: [...roles].sort() } : {}),
  };
}
