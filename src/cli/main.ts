/**
 * The operator's door: `gatehouse <noun> <verb>`. A file for each noun says what its commands take and print; what they
 * do is the subjects'. Works beside a running server and alone (operator.ts).
 *
 * Ends with 0 done, 1 refused, 2 misused. Standard output carries the result and nothing else.
 */
import { CommanderError } from 'commander';

import { describeFailure, EXIT_DONE } from './failure.ts';
import { createProgram } from './program.ts';

const words = process.argv.slice(2);
const isForMachines = words.includes('--json');

// Whoever reads us has had enough (`… | head`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT_DONE : 1);
});

try {
  await createProgram({ isForMachines }).parseAsync(words, { from: 'user' });
} catch (error) {
  if (!(error instanceof CommanderError && error.exitCode === EXIT_DONE)) {
    const { code, message, exitCode } = await describeFailure(error);
    const isTold = error instanceof CommanderError && error.code === 'commander.help';
    if (isForMachines) {
      const text = isTold ? 'A command is missing; --help lists them.' : message.replaceAll(/\s*\n\s*/g, ' ');
      process.stderr.write(`${JSON.stringify({ error: code, error_description: text })}\n`);
    } else if (!isTold) {
      process.stderr.write(`gatehouse: ${message}\n`);
    }
    process.exit(exitCode);
  }
}
