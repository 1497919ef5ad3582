import type { Command } from 'commander';

import { withOperator } from './operator.ts';
import { count, print, printJson } from './output.ts';

export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description('Bring the database’s schema up to date. Starting the server does it too.')
    .option('--json', 'print for machines')
    .action(async ({ json }: { json?: true }) => {
      await withOperator(async ({ state: { appliedMigrations } }) => {
        if (json) return printJson({ applied: appliedMigrations });
        if (appliedMigrations.length === 0) return print('The schema is up to date.');
        return print(
          [`Applied ${count(appliedMigrations.length, 'migration')}:`, ...appliedMigrations].join('\n  '),
        );
      });
    });
}
