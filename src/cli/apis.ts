import { Option, type Command } from 'commander';

import {
  ACCESS_TOKEN_FORMATS,
  API_SIGNING_ALGS,
  type AccessTokenFormat,
  type Api,
  type ApiDefinition,
  type ApiSigningAlg,
  type Permission,
} from '../apis/api.ts';
import type { ApiChanges } from '../apis/definition.ts';
import { protectedResourceMetadata } from '../apis/metadata.ts';
import { misuse } from './failure.ts';
import { parseDuration } from './input.ts';
import { type Operator, withOperator } from './operator.ts';
import { formatFields, formatTable, formatTime, print, printJson, yesOrNo } from './output.ts';

interface ApiOptions {
  name?: string;
  format?: AccessTokenFormat;
  ttl?: number;
  refreshIdle?: number;
  refreshAbsolute?: number;
  alg?: ApiSigningAlg;
  offlineAccess?: boolean;
  client?: string;
  json?: true;
}

const CLEARABLE = {
  ttl: 'accessTokenTtlSeconds',
  'refresh-idle': 'refreshTokenIdleSeconds',
  'refresh-absolute': 'refreshTokenAbsoluteSeconds',
  client: 'clientId',
} as const;

export function addApis(program: Command): void {
  const apis = program
    .command('apis')
    .description(
      'The APIs that access tokens are for, and what can be permitted there. <api> is its identifier.',
    );

  addDefinitionOptions(
    apis
      .command('create')
      .description('Register an API.')
      .option(
        '--identifier <uri>',
        'the `resource` of requests and the `aud` of tokens; it never changes (required)',
      )
      .option('--name <name>', 'the name that people see (required)')
      .option('--permission <name=description...>', 'what can be permitted there, and how people are told'),
  )
    .addHelpText(
      'after',
      `
The identifier is an absolute URI without a fragment. JWTs (RFC 9068) are checked by the API itself; about opaque
tokens it asks here, as the client given by --client, which may ask about JWTs too.

Examples:
  $ gatehouse apis create --identifier https://ledger.example.com --name Ledger \\
      --permission "invoices:read=See your invoices" "invoices:write=Change your invoices"
  $ gatehouse apis create --identifier urn:example:vault --name Vault --format opaque --client 3f2a… --ttl 5m`,
    )
    .action(createApi);

  apis
    .command('list')
    .description('List APIs.')
    .option('--json', 'print for machines, one API a line')
    .action(listApis);

  apis
    .command('show <api>')
    .description('Show an API, its permissions, and who has them.')
    .option('--json', 'print for machines')
    .action((api: string, { json }: ApiOptions) =>
      withOperator(async (operator) => showApi(operator, await operator.subjects.apis.get(api), json)),
    );

  addDefinitionOptions(
    apis
      .command('update <api>')
      .description('Change what is given.')
      .option('--name <name>', 'the name that people see'),
  )
    .option('--no-offline-access', 'give tokens for it only while the person is signed in')
    .option('--clear <option...>', `take an option back: ${Object.keys(CLEARABLE).join(', ')}`)
    .action(updateApi);

  apis
    .command('delete <api>')
    .description(
      'Delete an API with its permissions, wherever they were given. No token for it is good any more.',
    )
    .option('--json', 'print for machines')
    .action((api: string, { json }: ApiOptions) =>
      withOperator(
        async ({ subjects, by }) => {
          await subjects.apis.delete(api, by);
          await (json ? printJson({ identifier: api, deleted: true }) : print(`Deleted the API ${api}.`));
        },
        { mayChange: true },
      ),
    );

  apis
    .command('metadata <api>')
    .description('Print what the API publishes about itself (RFC 9728), for it to serve.')
    .option('--json', 'print for machines, on one line')
    .action((api: string, { json }: ApiOptions) =>
      withOperator(async ({ subjects, config: { issuer } }) => {
        const metadata = protectedResourceMetadata(await subjects.apis.get(api), {
          issuer,
          types: await subjects.authorizationTypes.list(),
        });
        await (json ? printJson(metadata) : print(JSON.stringify(metadata, undefined, 2)));
      }),
    );

  addPermissions(apis);
}

function addPermissions(apis: Command): void {
  const permissions = apis
    .command('permissions')
    .description('What can be permitted at an API (its scopes).');
  permissions
    .command('add <api> <permission>')
    .description('Add a permission, or describe it anew.')
    .requiredOption('--description <text>', 'what people read when they are asked: "See your invoices"')
    .option('--json', 'print for machines')
    .action((api: string, name: string, { description, json }: { description: string; json?: true }) =>
      withOperator(
        async (operator) =>
          showApi(
            operator,
            await operator.subjects.apis.setPermission(api, { name, description }, operator.by),
            json,
          ),
        { mayChange: true },
      ),
    );
  permissions
    .command('remove <api> <permission>')
    .description('Remove a permission, also from every role, client and consent that has it.')
    .option('--json', 'print for machines')
    .action((api: string, name: string, { json }: ApiOptions) =>
      withOperator(
        async (operator) =>
          showApi(operator, await operator.subjects.apis.removePermission(api, name, operator.by), json),
        { mayChange: true },
      ),
    );
}

function addDefinitionOptions(command: Command): Command {
  return command
    .addOption(new Option('--format <format>', 'of its access tokens').choices(ACCESS_TOKEN_FORMATS))
    .option('--ttl <duration>', 'the life of its access tokens: 300, 10m', parseDuration)
    .option(
      '--refresh-idle <duration>',
      'refresh tokens for it end when unused for so long: 8h; the settings are the most',
      parseDuration,
    )
    .option(
      '--refresh-absolute <duration>',
      'and after so long, however often they are used: 30d; the settings are the most',
      parseDuration,
    )
    .addOption(new Option('--alg <alg>', 'what signs its JWTs').choices(API_SIGNING_ALGS))
    .option('--offline-access', 'give tokens for it also while the person is signed out')
    .option('--client <client-id>', 'the client that stands for it, and may ask about its tokens')
    .option('--json', 'print for machines');
}

async function createApi({
  identifier,
  permission = [],
  json,
  ...options
}: ApiOptions & { identifier?: string; permission?: string[] }): Promise<void> {
  const { name } = options;
  if (identifier === undefined) throw misuse('Give the identifier by --identifier.');
  if (name === undefined) throw misuse('Give the name that people see by --name.');
  const permissions = permission.map(readPermission);
  await withOperator(
    async (operator) => {
      const api = await operator.subjects.apis.create(
        { ...readDefinition(options), identifier, name, permissions },
        operator.by,
      );
      await showApi(operator, api, json);
    },
    { mayChange: true },
  );
}

async function updateApi(
  identifier: string,
  { clear = [], json, ...options }: ApiOptions & { clear?: string[] },
): Promise<void> {
  const changes: ApiChanges = { ...readDefinition(options) };
  for (const name of clear) {
    if (!Object.hasOwn(CLEARABLE, name)) {
      throw misuse(
        `${JSON.stringify(name)} cannot be cleared; choose from ${Object.keys(CLEARABLE).join(', ')}.`,
      );
    }
    changes[CLEARABLE[name as keyof typeof CLEARABLE]] = null;
  }
  if (Object.keys(changes).length === 0)
    throw misuse('There is nothing to change; --help lists what can be.');
  await withOperator(
    async (operator) =>
      showApi(operator, await operator.subjects.apis.update(identifier, changes, operator.by), json),
    { mayChange: true },
  );
}

async function listApis({ json }: ApiOptions): Promise<void> {
  await withOperator(async ({ subjects }) => {
    const apis = await subjects.apis.list();
    if (json) {
      for (const api of apis) await printJson(presentApi(api));
      return;
    }
    await print(
      apis.length === 0
        ? 'There are no APIs.'
        : formatTable(
            ['IDENTIFIER', 'NAME', 'TOKENS', 'PERMISSIONS'],
            apis.map((api) => [
              api.identifier,
              api.name,
              tokensOf(api),
              api.permissions.map(({ name }) => name).join(' ') || 'none',
            ]),
          ),
    );
  });
}

function readDefinition({
  name,
  format,
  ttl,
  refreshIdle,
  refreshAbsolute,
  alg,
  offlineAccess,
  client,
}: ApiOptions): Partial<ApiDefinition> {
  const given = {
    name,
    accessTokenFormat: format,
    accessTokenTtlSeconds: ttl,
    refreshTokenIdleSeconds: refreshIdle,
    refreshTokenAbsoluteSeconds: refreshAbsolute,
    signingAlg: alg,
    allowOfflineAccess: offlineAccess,
    clientId: client,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** `invoices:read=See your invoices`; a name with `=` in it goes by `apis permissions add`. */
function readPermission(text: string): Permission {
  const at = text.indexOf('=');
  if (at < 1) throw misuse(`Give a permission as name=description, not ${JSON.stringify(text)}.`);
  return { name: text.slice(0, at), description: text.slice(at + 1) };
}

async function showApi({ subjects }: Operator, api: Api, json: true | undefined): Promise<void> {
  const [roles, clients] = await Promise.all([
    subjects.rbac.rolesPermitting(api.identifier),
    subjects.apis.permittedClients(api.identifier),
  ]);
  if (json) {
    return printJson({
      ...presentApi(api),
      roles: roles.map(({ role, permissions }) => ({ role, permissions })),
      clients: clients.map(({ clientId, permissions }) => ({ client_id: clientId, permissions })),
    });
  }
  return print(
    formatFields([
      ['Identifier', api.identifier],
      ['Name', api.name],
      ['Access tokens', tokensOf(api)],
      ['Life', secondsOf(api.accessTokenTtlSeconds)],
      ['Refresh, unused', secondsOf(api.refreshTokenIdleSeconds)],
      ['Refresh, at all', secondsOf(api.refreshTokenAbsoluteSeconds)],
      ['Offline access', yesOrNo(api.allowOfflineAccess)],
      ['Client', api.clientId],
      ['Permissions', api.permissions.map(({ name, description }) => `${name} (${description})`)],
      ['By role', roles.map(({ role, permissions }) => `${role}: ${permissions.join(' ')}`)],
      ['By client', clients.map(({ clientId, permissions }) => `${clientId}: ${permissions.join(' ')}`)],
      ['Created', `${formatTime(api.createdAt)} UTC`],
      ['Changed', `${formatTime(api.updatedAt)} UTC`],
    ]),
  );
}

function secondsOf(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : `${seconds} s`;
}

function tokensOf(api: Api): string {
  return api.accessTokenFormat === 'jwt' ? `JWT, ${api.signingAlg}` : 'opaque';
}

function presentApi(api: Api): object {
  return {
    identifier: api.identifier,
    name: api.name,
    access_token_format: api.accessTokenFormat,
    access_token_ttl_seconds: api.accessTokenTtlSeconds ?? null,
    refresh_token_idle_seconds: api.refreshTokenIdleSeconds ?? null,
    refresh_token_absolute_seconds: api.refreshTokenAbsoluteSeconds ?? null,
    signing_alg: api.signingAlg,
    offline_access: api.allowOfflineAccess,
    client_id: api.clientId ?? null,
    permissions: api.permissions.map(({ name, description }) => ({ name, description })),
    created_at: api.createdAt,
    updated_at: api.updatedAt,
  };
}
