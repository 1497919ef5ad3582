import type { Command } from 'commander';

import type { Role } from '../rbac/role.ts';
import { withOperator } from './operator.ts';
import { count, formatTable, print, printJson, yesOrNo } from './output.ts';
import { getAccount } from './users.ts';

export function addRoles(program: Command): void {
  const roles = program.command('roles').description('Roles, and who has them. <user> is as with `users`.');

  roles
    .command('create <name>')
    .description('Make a role. Its name has 1 to 64 characters out of a-z, 0-9 and : _ . / -')
    .option('--description <text>', 'what it is for')
    .option('--require-mfa', 'whoever has it must sign in with a second factor')
    .option('--json', 'print for machines')
    .action(createRole);

  roles
    .command('list')
    .description('List roles and how many accounts have each.')
    .option('--json', 'print for machines, one role a line')
    .action(listRoles);

  roles
    .command('grant <role> <user>')
    .description('Give a role to an account.')
    .option('--json', 'print for machines')
    .addHelpText('after', '\nExample:\n  $ gatehouse roles grant editor ada@example.com')
    .action((role: string, user: string, { json }: { json?: true }) =>
      withOperator(
        async (operator) => {
          const { id, email } = await getAccount(operator, user);
          const isNew = await operator.subjects.rbac.grantRole(id, role, operator.by);
          if (json) return printJson({ id, role, changed: isNew });
          return print(
            isNew ? `${email} has the role ${role} now.` : `${email} had the role ${role} already.`,
          );
        },
        { mayChange: true },
      ),
    );

  roles
    .command('revoke <role> <user>')
    .description('Take a role from an account.')
    .option('--force', 'also the role of the last administrator')
    .option('--json', 'print for machines')
    .action((role: string, user: string, { force = false, json }: { force?: boolean; json?: true }) =>
      withOperator(
        async (operator) => {
          const { id, email } = await getAccount(operator, user);
          const had = await operator.subjects.rbac.revokeRole(id, role, operator.by, { force });
          if (json) return printJson({ id, role, changed: had });
          return print(had ? `${email} no longer has the role ${role}.` : `${email} had no role ${role}.`);
        },
        { mayChange: true },
      ),
    );

  roles
    .command('delete <name>')
    .description('Delete a role.')
    .option('--force', 'also while accounts have it')
    .option('--json', 'print for machines')
    .action((name: string, { force = false, json }: { force?: boolean; json?: true }) =>
      withOperator(
        async ({ subjects, by }) => {
          await subjects.rbac.deleteRole(name, by, { force });
          await (json ? printJson({ role: name, deleted: true }) : print(`Deleted the role ${name}.`));
        },
        { mayChange: true },
      ),
    );
}

async function createRole(
  name: string,
  { description, requireMfa = false, json }: { description?: string; requireMfa?: boolean; json?: true },
): Promise<void> {
  await withOperator(
    async ({ subjects, by }) => {
      const role = await subjects.rbac.createRole(
        { name, requiresMfa: requireMfa, ...(description === undefined ? {} : { description }) },
        by,
      );
      await (json ? printJson(presentRole(role)) : print(`Made the role ${role.name}.`));
    },
    { mayChange: true },
  );
}

async function listRoles({ json }: { json?: true }): Promise<void> {
  await withOperator(async ({ subjects }) => {
    const roles = await subjects.rbac.listRoles();
    if (json) {
      for (const role of roles) await printJson({ ...presentRole(role), accounts: role.accounts });
      return;
    }
    await print(
      formatTable(
        ['ROLE', 'HELD BY', 'SECOND FACTOR', 'DESCRIPTION'],
        roles.map((role) => [
          role.name,
          count(role.accounts, 'account'),
          role.requiresMfa ? 'required' : yesOrNo(false),
          role.description,
        ]),
      ),
    );
  });
}

function presentRole(role: Role): object {
  return {
    id: role.id,
    name: role.name,
    description: role.description ?? null,
    requires_mfa: role.requiresMfa,
    created_at: role.createdAt,
  };
}
