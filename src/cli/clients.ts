import { Option, type Command } from 'commander';

import { CLIENT_KINDS, hasSecret, type Client, type ClientKind } from '../clients/client.ts';
import type { ClientChanges } from '../clients/service.ts';
import { withHeadings } from './client-help.ts';
import {
  addDefinitionOptions,
  CLEARABLE_NAMES,
  readClearing,
  readDefinition,
  type DefinitionOptions,
} from './client-options.ts';
import { misuse } from './failure.ts';
import { addSecretOptions, parseDuration, readSecret } from './input.ts';
import { type Operator, withOperator } from './operator.ts';
import { note, print, printJson } from './output.ts';

interface CreateOptions extends DefinitionOptions {
  name?: string;
  clientId?: string;
  kind?: ClientKind;
  public?: true;
  secretStdin?: true;
  secretFile?: string;
  json?: true;
}

interface UpdateOptions extends DefinitionOptions {
  name?: string;
  clear?: string[];
  json?: true;
}

export function addClients(program: Command): void {
  const clients = program
    .command('clients')
    .description('The applications that people sign in to, and machines that get tokens.');

  withHeadings(
    addSecretOptions(
      addDefinitionOptions(
        clients
          .command('create')
          .description('Register a client. Its secret is shown this once.')
          .option('--name <name>', 'the name that people see (required)')
          .option('--client-id <id>', 'keep the id it has elsewhere; generated otherwise')
          .addOption(
            new Option('--kind <kind>', 'told from the redirect URIs unless given').choices(CLIENT_KINDS),
          )
          .option('--public', 'it cannot keep a secret: an installed application, or one in the browser'),
      ),
      'secret',
    ),
  )
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Without a redirect URI it is a machine client, which acts for itself, unless people sign in to it in another way: on a
device that shows a code (RFC 8628). Several values follow one option, or the option is repeated. Redirect URIs are
compared character by character: https, or http on loopback, or for an installed application a private-use scheme such
as com.example.app:/callback.

Examples:
  $ gatehouse clients create --name Wiki --redirect-uri https://wiki.example.com/callback --first-party
  $ gatehouse clients create --name CLI --public --redirect-uri http://127.0.0.1/callback
  $ gatehouse clients create --name Backup
  $ gatehouse clients create --name TV \\
      --grant-type urn:ietf:params:oauth:grant-type:device_code refresh_token
  $ gatehouse clients create --name "Argo CD" --redirect-uri https://argo.example.com/auth/callback \\
      --roles-claim groups --claims-in-id-token`,
    )
    .action(createClient);

  clients
    .command('list')
    .description('List clients, and flag those for which PKCE was lifted.')
    .option('--json', 'print for machines, one client a line')
    .action(listClients);

  clients
    .command('show <client-id>')
    .description('Show everything about a client but its secrets.')
    .option('--json', 'print for machines')
    .action((clientId: string, { json }: { json?: true }) =>
      withOperator(async (operator) =>
        showClient(operator, await operator.subjects.clients.get(clientId), json),
      ),
    );

  withHeadings(
    addDefinitionOptions(
      clients
        .command('update <client-id>')
        .description('Change what is given. A list that is given replaces the one before.')
        .option('--name <name>', 'the name that people see'),
      { isUpdate: true },
    ),
  )
    .option('--clear <option...>', `take an option back: ${CLEARABLE_NAMES.join(', ')}`)
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Examples:
  $ gatehouse clients update 3f2a… --redirect-uri https://a.example/cb https://b.example/cb
  $ gatehouse clients update 3f2a… --require-role staff --clear tos-uri`,
    )
    .action(updateClient);

  clients
    .command('rotate-secret <client-id>')
    .description('Make a second secret, shown this once. The first lives on, unless a grace is given.')
    .option('--grace <duration>', 'end the first after so long: 2h, 7d; 0 at once', parseDuration)
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Examples:
  $ gatehouse clients rotate-secret 3f2a… --grace 7d
  $ gatehouse clients rotate-secret 3f2a… --grace 0     it has leaked`,
    )
    .action(rotateSecret);

  clients
    .command('remove-secret <client-id> <secret-id>')
    .description('End one of two secrets. `clients show` tells their ids.')
    .option('--json', 'print for machines')
    .action((clientId: string, secretId: string, { json }: { json?: true }) =>
      withOperator(
        async (operator) => {
          const { subjects, by } = operator;
          const client = await subjects.clients.removeSecret(clientId, secretId, by);
          if (json) return showClient(operator, client, json);
          return print(`Ended the secret ${secretId}.`);
        },
        { mayChange: true },
      ),
    );

  clients
    .command('delete <client-id>')
    .description('Delete a client. Nobody can sign in to it any more.')
    .option('--json', 'print for machines')
    .action((clientId: string, { json }: { json?: true }) =>
      withOperator(
        async ({ subjects, by }) => {
          await subjects.clients.delete(clientId, by);
          await (json
            ? printJson({ client_id: clientId, deleted: true })
            : print(`Deleted the client ${clientId}.`));
        },
        { mayChange: true },
      ),
    );
}

async function createClient({ name, clientId, kind, json, ...options }: CreateOptions): Promise<void> {
  if (name === undefined) throw misuse('Give the name that people see by --name.');
  const imported = await readSecret('secret', { isOnStdin: options.secretStdin, file: options.secretFile });
  const definition = await readDefinition(options);
  await withOperator(
    async (operator) => {
      const { client, secret } = await operator.subjects.clients.create(
        {
          ...definition,
          name,
          ...(clientId === undefined ? {} : { clientId }),
          ...(kind === undefined ? {} : { kind }),
          ...(options.public ? { isPublic: true } : {}),
          ...(imported === undefined ? {} : { secret: imported }),
        },
        operator.by,
      );
      await warnOfMissingRole(operator, client);
      if (json) {
        return printJson({
          client_id: client.clientId,
          ...(secret === undefined ? {} : { client_secret: secret }),
        });
      }
      await showClient(operator, client, undefined);
      return showSecret(imported === undefined ? secret : undefined);
    },
    { mayChange: true },
  );
}

async function listClients({ json }: { json?: true }): Promise<void> {
  const { formatClients, presentClient } = await import('./client-view.ts');
  await withOperator(async ({ subjects }) => {
    const clients = await subjects.clients.list();
    if (json) {
      for (const client of clients) await printJson(presentClient(client));
      return;
    }
    await print(clients.length === 0 ? 'There are no clients.' : formatClients(clients));
  });
}

async function updateClient(
  clientId: string,
  { name, clear = [], json, ...options }: UpdateOptions,
): Promise<void> {
  await withOperator(
    async (operator) => {
      const { clients } = operator.subjects;
      const before = await clients.get(clientId);
      const changes: ClientChanges = {
        ...(name === undefined ? {} : { name }),
        ...(await readDefinition(options, before)),
        ...readClearing(clear, before.rolesClaim),
      };
      if (Object.keys(changes).length === 0)
        throw misuse('There is nothing to change; --help lists what can be.');
      const client = await clients.update(clientId, changes, operator.by);
      await warnOfMissingRole(operator, client);
      if (hasSecret(client) && client.secrets.length === 0) {
        note(`It authenticates with a secret now and has none: gatehouse clients rotate-secret ${clientId}`);
      }
      await showClient(operator, client, json);
    },
    { mayChange: true },
  );
}

async function rotateSecret(
  clientId: string,
  { grace, json }: { grace?: number; json?: true },
): Promise<void> {
  await withOperator(
    async ({ subjects, by }) => {
      const { client, secret, secretId } = await subjects.clients.rotateSecret(
        clientId,
        grace === undefined ? {} : { graceSeconds: grace },
        by,
      );
      if (json) return printJson({ client_id: clientId, client_secret: secret, secret_id: secretId });
      await showSecret(secret);
      const others = client.secrets.filter(({ id }) => id !== secretId);
      for (const { id, expiresAt } of others) {
        if (!expiresAt)
          note(
            `The one before lives on. When nobody uses it: gatehouse clients remove-secret ${clientId} ${id}`,
          );
        else if (grace !== 0) note(`The one before ends at ${expiresAt.toISOString()}.`);
      }
    },
    { mayChange: true },
  );
}

async function showClient(
  { state: { clock } }: Operator,
  client: Client,
  json: true | undefined,
): Promise<void> {
  const { formatClient, presentClient } = await import('./client-view.ts');
  await (json ? printJson(presentClient(client)) : print(formatClient(client, clock.now())));
}

async function showSecret(secret: string | undefined): Promise<void> {
  if (secret !== undefined) await print(`\nThe client secret, shown this once:\n  ${secret}`);
}

/** Not refused: scripts may register the client before the role. */
async function warnOfMissingRole({ subjects }: Operator, { requireRole }: Client): Promise<void> {
  if (requireRole === undefined) return;
  const roles = await subjects.rbac.listRoles();
  if (roles.some(({ name }) => name === requireRole)) return;
  note(`There is no role ${requireRole} yet, so nobody gets in: gatehouse roles create ${requireRole}`);
}
