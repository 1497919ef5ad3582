import type { Database } from '../../../src/platform/database.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import type { Role } from '../../../src/rbac/role.ts';
import { createRbacService } from '../../../src/rbac/service.ts';
import { TEST_OPERATOR } from './account.ts';

/** A role, held by the accounts given. */
export async function buildRole({
  db,
  accounts = [],
  ...overrides
}: {
  db: Database;
  accounts?: readonly { id: string }[];
  name?: string;
  description?: string;
  requiresMfa?: boolean;
}): Promise<Role> {
  const rbac = createRbacService({ db });
  const role = await rbac.createRole(
    { name: `role-${randomToken(6).toLowerCase()}`, ...overrides },
    TEST_OPERATOR,
  );
  for (const { id } of accounts) await rbac.grantRole(id, role.name, TEST_OPERATOR);
  return role;
}
