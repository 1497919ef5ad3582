import type { Command } from 'commander';

import { sectorOf } from '../clients/pairwise.ts';
import { AppError } from '../platform/errors.ts';
import { misuse } from './failure.ts';
import { type Operator, withOperator } from './operator.ts';
import { formatTable, formatTime, print, printJson } from './output.ts';
import { getAccount } from './users.ts';

interface ImportOptions {
  sub: string;
  client?: string;
  sector?: string;
  json?: true;
}

/** `users subjects` and `users import-subject`, beside the other commands of that noun. */
export function addSubjects(program: Command): void {
  const users = program.commands.find((command) => command.name() === 'users');
  if (!users) throw new Error('there are no commands about users');
  users
    .command('subjects <user>')
    .description('What the sectors of pairwise clients know a person by.')
    .option('--json', 'print for machines, one a line')
    .action((user: string, { json }: { json?: true }) =>
      withOperator(async (operator) => {
        const account = await getAccount(operator, user);
        const subjects = await operator.subjects.pairwiseSubjects.list(account.id);
        if (json) {
          for (const { sector, sub, createdAt } of subjects) {
            await printJson({ sector, sub, created_at: createdAt });
          }
          return;
        }
        await print(
          subjects.length === 0
            ? `No sector knows ${account.email} by an identifier of its own.`
            : formatTable(
                ['SECTOR', 'SUB', 'SINCE (UTC)'],
                subjects.map(({ sector, sub, createdAt }) => [sector, sub, formatTime(createdAt)]),
              ),
        );
      }),
    );
  users
    .command('import-subject <user>')
    .description('Keep what a sector knew a person by at another provider. It never changes after.')
    .requiredOption('--sub <identifier>', 'the pairwise subject identifier')
    .option('--client <client-id>', 'a client of the sector')
    .option('--sector <host>', 'or the sector itself: the host of its redirect URIs or sector_identifier_uri')
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Before the person first signs in there: what a sector was told cannot be taken back.

Example:
  $ gatehouse users import-subject ada@example.com --sector shop.example --sub 6b1f7e1c…`,
    )
    .action(importSubject);
}

async function importSubject(user: string, { sub, client, sector, json }: ImportOptions): Promise<void> {
  if ((client === undefined) === (sector === undefined)) throw misuse('Give one of --client and --sector.');
  await withOperator(
    async (operator) => {
      const account = await getAccount(operator, user);
      const imported = await operator.subjects.pairwiseSubjects.importSubject(
        { accountId: account.id, sector: sector ?? (await sectorOfClient(operator, client ?? '')), sub },
        operator.by,
      );
      await (json
        ? printJson({ sector: imported.sector, sub: imported.sub })
        : print(`${imported.sector} knows ${account.email} by ${imported.sub}.`));
    },
    { mayChange: true },
  );
}

/** @throws AppError `client_not_found` (404), `not_pairwise` (409) */
async function sectorOfClient({ subjects }: Operator, clientId: string): Promise<string> {
  const sector = sectorOf(await subjects.clients.get(clientId));
  if (sector === undefined) {
    throw new AppError(
      'not_pairwise',
      409,
      `The client ${clientId} knows people by their public identifier.`,
    );
  }
  return sector;
}
