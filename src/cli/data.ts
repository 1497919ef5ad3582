import type { Command } from 'commander';

export function addData(program: Command): void {
  program.command('data').description('Everything that is kept, as one portable file.');
}
