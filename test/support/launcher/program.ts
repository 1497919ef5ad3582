/** What the launcher's tests run. The first argument says what it does. */
import { setTimeout as delay } from 'node:timers/promises';

const [what, argument] = process.argv.slice(2);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

switch (what) {
  case 'describe': {
    const environment = Object.keys(process.env).filter((name) => name.startsWith('GATEHOUSE_LAUNCHER'));
    const description: object = {
      major: Number.parseInt(process.versions.node, 10),
      pid: process.pid,
      script: process.argv[1],
      arguments: process.argv.slice(2),
      environment,
    };
    say(JSON.stringify(description));
    break;
  }
  case 'exit':
    process.exitCode = Number(argument);
    break;
  case 'die':
    process.kill(process.pid, argument);
    await delay(5_000);
    break;
  case 'echo':
    for await (const chunk of process.stdin) process.stdout.write(chunk as Buffer);
    break;
  case 'warn':
    process.emitWarning('mind the gap');
    break;
  case 'listen': {
    // Long enough to see a signal that comes twice.
    let end: NodeJS.Timeout | undefined;
    const keepAlive = setTimeout(() => {}, 20_000);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        say(`got ${signal}`);
        clearTimeout(keepAlive);
        end ??= setTimeout(() => process.exit(7), 400);
      });
    }
    say(`listening ${process.pid}`);
    break;
  }
  default:
    throw new Error(`unknown: ${what}`);
}
