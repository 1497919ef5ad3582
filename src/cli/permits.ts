import type { Command } from 'commander';

import { type Operator, withOperator } from './operator.ts';
import { formatFields, print, printJson, yesOrNo } from './output.ts';

type Permit = (operator: Operator, holder: string, api: string, permissions: string[]) => Promise<string[]>;

/** `roles permit|forbid` and `clients permit|forbid`, beside the other commands of those nouns. */
export function addPermits(program: Command): void {
  const roles = commandOf(program, 'roles');
  addPermit(roles, 'permit <role> <api> <permission...>', {
    description: 'Let whoever has the role do that at the API.',
    example: 'roles permit clerk https://ledger.example.com invoices:read invoices:write',
    changed: 'permits now',
    change: ({ subjects, by }, role, api, permissions) =>
      subjects.rbac.permit({ role, api, permissions }, by),
  });
  addPermit(roles, 'forbid <role> <api> <permission...>', {
    description: 'Take that from the role. Tokens are without it from the next one on.',
    example: 'roles forbid clerk https://ledger.example.com invoices:write',
    changed: 'no longer permits',
    change: ({ subjects, by }, role, api, permissions) =>
      subjects.rbac.forbid({ role, api, permissions }, by),
  });
  addShow(roles);

  const clients = commandOf(program, 'clients');
  addPermit(clients, 'permit <client-id> <api> <permission...>', {
    description: 'Let a client do that for itself (client_credentials).',
    example: 'clients permit 3f2a… https://ledger.example.com invoices:read',
    changed: 'may now',
    change: ({ subjects, by }, clientId, api, permissions) =>
      subjects.apis.permitClient({ clientId, api, permissions }, by),
  });
  addPermit(clients, 'forbid <client-id> <api> <permission...>', {
    description: 'Take that from a client. Tokens are without it from the next one on.',
    example: 'clients forbid 3f2a… https://ledger.example.com invoices:read',
    changed: 'may no longer',
    change: ({ subjects, by }, clientId, api, permissions) =>
      subjects.apis.forbidClient({ clientId, api, permissions }, by),
  });
}

function addPermit(
  parent: Command,
  usage: string,
  {
    description,
    example,
    changed,
    change,
  }: { description: string; example: string; changed: string; change: Permit },
): void {
  parent
    .command(usage)
    .description(description)
    .option('--json', 'print for machines')
    .addHelpText('after', `\nExample:\n  $ gatehouse ${example}`)
    .action((holder: string, api: string, permissions: string[], { json }: { json?: true }) =>
      withOperator(
        async (operator) => {
          const done = await change(operator, holder, api, permissions);
          if (json) return printJson({ [parent.name().slice(0, -1)]: holder, api, changed: done });
          return print(done.length > 0 ? `${holder} ${changed}: ${done.join(' ')}.` : 'That was so already.');
        },
        { mayChange: true },
      ),
    );
}

function addShow(roles: Command): void {
  roles
    .command('show <role>')
    .description('Show a role and what it permits.')
    .option('--json', 'print for machines')
    .action((name: string, { json }: { json?: true }) =>
      withOperator(async ({ subjects }) => {
        const role = await subjects.rbac.getRole(name);
        const permitted = await subjects.rbac.permissionsOf(name);
        if (json) {
          return printJson({
            id: role.id,
            name,
            description: role.description ?? null,
            requires_mfa: role.requiresMfa,
            created_at: role.createdAt,
            permissions: permitted.map(({ api, permissions }) => ({ api, permissions })),
          });
        }
        return print(
          formatFields([
            ['Role', name],
            ['Description', role.description],
            ['Second factor', role.requiresMfa ? 'required' : yesOrNo(false)],
            ['Permits', permitted.map(({ api, permissions }) => `${api}: ${permissions.join(' ')}`)],
          ]),
        );
      }),
    );
}

function commandOf(program: Command, name: string): Command {
  const command = program.commands.find((each) => each.name() === name);
  if (!command) throw new Error(`there is no command ${name} to add to`);
  return command;
}
