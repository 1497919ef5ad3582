import { AppError } from '../platform/errors.ts';

/** Claims that mean something else (OIDC Core §2, §5.1, RFC 7519 §4.1): roles may not take their place. */
const TAKEN = new Set(
  (
    'iss sub aud exp iat nbf jti nonce auth_time acr amr azp at_hash c_hash s_hash sid events cnf act scope ' +
    'client_id name given_name family_name middle_name nickname preferred_username profile picture website email ' +
    'email_verified gender birthdate zoneinfo locale phone_number phone_number_verified address updated_at'
  ).split(' '),
);

/**
 * The names to walk from the top of the claims to the roles: `groups` → `['groups']`, `realm_access.roles` →
 * `['realm_access', 'roles']`. A URI is one name, dots and all.
 */
export function rolesClaimPath(name: string): string[] {
  return name.includes('://') || name.startsWith('urn:') ? [name] : name.split('.');
}

/** @throws AppError `invalid_client` (400) */
export function checkRolesClaim({ name, prefix }: { name: string; prefix?: string }): void {
  const path = rolesClaimPath(name);
  if (!/^[\x21-\x7e]{1,200}$/.test(name) || path.some((part) => part === '')) {
    throw refuse(
      name,
      'give a name such as groups, a path such as realm_access.roles, or a URI, in ASCII without spaces',
    );
  }
  if (path.some((part) => part in Object.prototype)) throw refuse(name, 'choose another name');
  if (TAKEN.has(path[0] ?? '')) throw refuse(name, 'a standard claim has that name; choose another');
  if (prefix !== undefined && !/^[\x21-\x7e]{1,64}$/.test(prefix)) {
    throw new AppError('invalid_client', 400, 'A roles prefix is 1 to 64 ASCII characters without spaces.');
  }
}

function refuse(name: string, advice: string): AppError {
  return new AppError(
    'invalid_client',
    400,
    `The roles claim ${JSON.stringify(name)} is refused: ${advice}.`,
  );
}
