import type { Command } from 'commander';

import { parseCount } from './input.ts';

export function addStart(program: Command): void {
  program
    .command('start')
    .description('Run the server until SIGTERM or Ctrl-C.')
    .option(
      '--workers <n>',
      'how many processes share the work, instead of the setting `workers`',
      parseCount,
    )
    .addHelpText(
      'after',
      `
Without any setting it keeps everything in ./data, on a PostgreSQL of its own, and prints the first administrator's
password once. Production needs GATEHOUSE_ENV=production and what docs/configuration.md asks for it.

Examples:
  $ gatehouse start
  $ PORT=8080 GATEHOUSE_DATA_DIR=/srv/gatehouse gatehouse start`,
    )
    .action(async ({ workers }: { workers?: number }) => {
      const { runServer } = await import('../main.ts');
      await runServer(workers === undefined ? {} : { workers });
    });
}
