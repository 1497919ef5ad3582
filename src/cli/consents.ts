import type { Command } from 'commander';

import { withOperator } from './operator.ts';
import { formatTable, formatTime, print, printJson } from './output.ts';
import { getAccount } from './users.ts';

/** `users consents` and `users withdraw-consent`, beside the other commands of that noun. */
export function addConsents(program: Command): void {
  const users = program.commands.find((command) => command.name() === 'users');
  if (!users) throw new Error('there are no commands about users');
  users
    .command('consents <user>')
    .description('What a person let applications do, as it is remembered, so that they are not asked again.')
    .option('--json', 'print for machines, one application a line')
    .action(listConsents);
  users
    .command('withdraw-consent <user> <client-id>')
    .description('Take back what a person let an application do: every token that it has of them ends.')
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Their sessions go on. The application may ask again; one that is first-party asks nobody, and gets it again with the
next sign-in: keep people out of it by --require-role, or disable the account.

Example:
  $ gatehouse users withdraw-consent ada@example.com 3f2a…`,
    )
    .action(withdrawConsent);
}

async function listConsents(user: string, { json }: { json?: true }): Promise<void> {
  await withOperator(async (operator) => {
    const account = await getAccount(operator, user);
    const consents = await operator.subjects.consents.list(account.id);
    if (json) {
      for (const { clientId, scopes, permissions, grantedAt } of consents) {
        await printJson({ client_id: clientId, scopes, permissions, granted_at: grantedAt });
      }
      return;
    }
    await print(
      consents.length === 0
        ? `Nothing is remembered that ${account.email} let an application do.`
        : formatTable(
            ['CLIENT', 'SCOPES', 'PERMISSIONS', 'LAST ALLOWED (UTC)'],
            consents.map(({ clientId, scopes, permissions, grantedAt }) => [
              clientId,
              scopes.join(' ') || 'none',
              inWords(permissions) || 'none',
              formatTime(grantedAt),
            ]),
          ),
    );
  });
}

async function withdrawConsent(user: string, clientId: string, { json }: { json?: true }): Promise<void> {
  await withOperator(
    async (operator) => {
      const account = await getAccount(operator, user);
      await operator.subjects.consents.withdraw(account, clientId, operator.by);
      await (json
        ? printJson({ client_id: clientId, withdrawn: true })
        : print(`${clientId} may do nothing for ${account.email} any more.`));
    },
    { mayChange: true },
  );
}

function inWords(permissions: Record<string, string[]>): string {
  return Object.entries(permissions)
    .map(([api, names]) => `${api}: ${names.join(' ')}`)
    .join('; ');
}
