import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Command } from 'commander';

import { addApis } from './apis.ts';
import { addAudit } from './audit.ts';
import { addAuthorizationTypes } from './authorization-types.ts';
import { addClients } from './clients.ts';
import { addConfig } from './config.ts';
import { addConsents } from './consents.ts';
import { addData } from './data.ts';
import { addKeys } from './keys.ts';
import { addMigrate } from './migrate.ts';
import { addPermits } from './permits.ts';
import { addRegistrationTokens } from './registration-tokens.ts';
import { addRoles } from './roles.ts';
import { addStart } from './start.ts';
import { addSubjects } from './subjects.ts';
import { addUsers } from './users.ts';

const AFTER_HELP = `
Every command reads the same settings as the server (docs/configuration.md) and works beside a running one.
--json prints for machines: an object, or for a list one object a line; failures then are JSON on standard error.
Exit status: 0 done, 1 refused, 2 misused.

Examples:
  $ gatehouse start
  $ gatehouse users create --email ada@example.com --email-verified --password-stdin --role editor < password.txt
  $ gatehouse clients create --name Wiki --redirect-uri https://wiki.example.com/callback
  $ gatehouse audit list --since 10m`;

/** Every command. Nothing is loaded but what tells how they are called. */
export function createProgram({ isForMachines }: { isForMachines: boolean }): Command {
  const program = new Command('gatehouse')
    .description('An OpenID Connect identity provider, and its operator’s tools.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'say how a command is called')
    .helpCommand('help [command]', 'the same as --help')
    .exitOverride()
    .configureOutput({
      // main.ts tells what is wrong, once; what comes here otherwise is the help.
      outputError: () => {},
      writeErr: (text) => void (isForMachines || process.stderr.write(text)),
    })
    .configureHelp({ showGlobalOptions: false })
    .addHelpText('after', AFTER_HELP);
  addStart(program);
  addMigrate(program);
  addConfig(program);
  addUsers(program);
  addSubjects(program);
  addConsents(program);
  addRoles(program);
  addClients(program);
  addRegistrationTokens(program);
  addApis(program);
  addAuthorizationTypes(program);
  addPermits(program);
  addAudit(program);
  addKeys(program);
  addData(program);
  return program;
}

function readVersion(): string {
  const file = path.join(import.meta.dirname, '..', '..', 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
