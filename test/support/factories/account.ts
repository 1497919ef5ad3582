import type { Account, NewAccount } from '../../../src/accounts/account.ts';
import type { HashParameters } from '../../../src/accounts/hashing/hasher.ts';
import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { createAccountService } from '../../../src/accounts/service.ts';
import type { Actor } from '../../../src/audit/events.ts';
import type { Database } from '../../../src/platform/database.ts';
import { randomToken } from '../../../src/platform/ids.ts';

/** So cheap that a test does not wait for it, and of the same form as real ones. */
export const CHEAP_PARAMETERS: HashParameters = { memoryKib: 64, iterations: 1, parallelism: 1 };

export const TEST_OPERATOR: Actor = { kind: 'operator', name: 'tester' };

/** An account that can sign in with the password it comes with, unless the overrides say otherwise. */
export async function buildAccount({
  db,
  parameters = CHEAP_PARAMETERS,
  ...overrides
}: { db: Database; parameters?: HashParameters } & Partial<NewAccount>): Promise<
  Account & { password: string }
> {
  const password = overrides.password ?? 'correct-battery-7';
  const service = createAccountService({
    db,
    hasher: createInlineHasher(),
    password: { parameters, minLength: 12 },
    longestTokenSeconds: 3600,
  });
  const account = await service.create(
    { email: `${randomToken(9).toLowerCase()}@example.org`, ...overrides, password },
    TEST_OPERATOR,
  );
  return { ...account, password };
}
