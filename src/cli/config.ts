import { writeFile } from 'node:fs/promises';

import type { Command } from 'commander';

import { formatProblems, type Problem } from '../config/problem.ts';
import { EXIT_REFUSED } from './failure.ts';
import { readConfiguration } from './operator.ts';
import { note, print, printJson } from './output.ts';

export function addConfig(program: Command): void {
  const config = program.command('config').description('The settings.');
  config
    .command('check')
    .description('Print the effective settings, secrets masked, and everything that is wrong with them.')
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Ends with 1 where there is a problem; all of them are told at once.

Example:
  $ GATEHOUSE_ENV=production GATEHOUSE_SECRET_KEY_FILE=/run/secrets/key gatehouse config check`,
    )
    .action(checkConfig);
  config
    .command('docs')
    .description('Print the reference of all settings, as Markdown.')
    .option('--output <file>', 'write it to a file instead')
    .action(async ({ output }: { output?: string }) => {
      const { documentSettings } = await import('../config/document.ts');
      if (output === undefined) return print(documentSettings().trimEnd());
      return writeFile(output, documentSettings());
    });
}

async function checkConfig({ json }: { json?: true }): Promise<void> {
  const [{ describeConfig, formatDescription }, { productionNotices }] = await Promise.all([
    import('../config/describe.ts'),
    import('../config/production-rules.ts'),
  ]);
  const loaded = await readConfiguration();
  const draft = loaded.kind === 'ok' ? loaded : loaded.draft;
  const problems = loaded.kind === 'ok' ? [] : loaded.problems;
  const notices = loaded.kind === 'ok' ? productionNotices(loaded) : [];
  const described = draft && describeConfig(draft);
  if (json) {
    await printJson({
      ok: problems.length === 0,
      problems: problems.map(presentProblem),
      notices: notices.map(presentProblem),
      settings: described?.map(({ path, environmentName, value, origin }) => ({
        path,
        variable: environmentName,
        value: value ?? null,
        origin,
      })),
    });
  } else {
    if (described) await print(formatDescription(described));
    for (const { setting, message, remedy } of notices) note(`\n${setting ?? 'Note'}: ${message} ${remedy}`);
    if (problems.length > 0) note(`${described ? '\n' : ''}${formatProblems(problems)}`);
  }
  // Not thrown: the settings have been printed all the same, and the problems told.
  if (problems.length > 0) process.exitCode = EXIT_REFUSED;
}

function presentProblem({ code, setting, message, remedy }: Problem): object {
  return { code, setting: setting ?? null, message, remedy };
}
