import { readFile } from 'node:fs/promises';

import type { Command } from 'commander';

import type { AuthorizationType, AuthorizationTypeInput, Field } from '../apis/authorization-type.ts';
import { misuse } from './failure.ts';
import { withOperator } from './operator.ts';
import { formatFields, formatTable, formatTime, print, printJson, yesOrNo } from './output.ts';

interface TypeOptions {
  type?: string;
  api?: string;
  name?: string;
  fields?: string;
  remember?: boolean;
  json?: true;
}

export function addAuthorizationTypes(program: Command): void {
  const types = program
    .command('authorization-types')
    .description('What can be asked for at an API in more words than a permission has (RFC 9396).');

  addDefinitionOptions(
    types
      .command('create')
      .description('Register a type of authorization details.')
      .option('--type <type>', 'the `type` of requests and tokens; it never changes (required)')
      .option('--api <api>', 'the API that they are for (required)'),
  )
    .addHelpText(
      'after',
      `
The file holds a JSON array of fields, each with "name", "kind", "label" (what people read) and, where it must be there,
"required": true. Kinds: text, texts, choice, choices (with "choices": [{"value", "label"}]), integer, boolean, date,
amount ({"currency": "EUR", "amount": "12.50"}), group (with "fields"). Nothing else passes.

Example:
  $ gatehouse authorization-types create --type payment --api https://bank.example.com --name "Make a payment" \\
      --fields payment.json`,
    )
    .action(createType);

  types
    .command('list')
    .description('List the types.')
    .option('--json', 'print for machines, one type a line')
    .action(listTypes);

  types
    .command('show <type>')
    .description('Show a type and its fields.')
    .option('--json', 'print for machines')
    .action((type: string, { json }: TypeOptions) =>
      withOperator(async ({ subjects }) => showType(await subjects.authorizationTypes.get(type), json)),
    );

  addDefinitionOptions(
    types
      .command('update <type>')
      .description('Change what is given. People who allowed something of the type are asked anew.'),
  )
    .option('--no-remember', 'ask each time')
    .action(updateType);

  types
    .command('delete <type>')
    .description('Delete a type. Tokens tell nothing of it any more, but for JWTs that are out.')
    .option('--json', 'print for machines')
    .action((type: string, { json }: TypeOptions) =>
      withOperator(
        async ({ subjects, by }) => {
          await subjects.authorizationTypes.delete(type, by);
          await (json ? printJson({ type, deleted: true }) : print(`Deleted the type ${type}.`));
        },
        { mayChange: true },
      ),
    );
}

function addDefinitionOptions(command: Command): Command {
  return command
    .option('--name <name>', 'what people read: "Make a payment" (required for a new one)')
    .option('--fields <file>', 'a file with its fields, as JSON; without it there are none')
    .option('--remember', 'do not ask again who allowed exactly the same before')
    .option('--json', 'print for machines');
}

async function createType({ type, api, json, ...options }: TypeOptions): Promise<void> {
  const { name } = options;
  if (type === undefined) throw misuse('Give the type by --type.');
  if (api === undefined) throw misuse('Give the API that it is for by --api.');
  if (name === undefined) throw misuse('Give the name that people read by --name.');
  const given = await readDefinition(options);
  await withOperator(
    async ({ subjects, by }) =>
      showType(await subjects.authorizationTypes.create({ ...given, type, api, name }, by), json),
    { mayChange: true },
  );
}

async function updateType(type: string, { json, ...options }: TypeOptions): Promise<void> {
  const changes = await readDefinition(options);
  if (Object.keys(changes).length === 0)
    throw misuse('There is nothing to change; --help lists what can be.');
  await withOperator(
    async ({ subjects, by }) => showType(await subjects.authorizationTypes.update(type, changes, by), json),
    { mayChange: true },
  );
}

async function listTypes({ json }: TypeOptions): Promise<void> {
  await withOperator(async ({ subjects }) => {
    const types = await subjects.authorizationTypes.list();
    if (json) {
      for (const type of types) await printJson(presentType(type));
      return;
    }
    await print(
      types.length === 0
        ? 'There are no types of authorization details.'
        : formatTable(
            ['TYPE', 'NAME', 'API', 'FIELDS'],
            types.map(({ type, name, api, fields }) => [
              type,
              name,
              api,
              fields.map((field) => field.name).join(' ') || 'none',
            ]),
          ),
    );
  });
}

async function readDefinition({
  name,
  fields,
  remember,
}: TypeOptions): Promise<Partial<AuthorizationTypeInput>> {
  return {
    ...(name === undefined ? {} : { name }),
    ...(fields === undefined ? {} : { fields: await readFields(fields) }),
    ...(remember === undefined ? {} : { isRemembered: remember }),
  };
}

async function readFields(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw misuse(`The file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  });
  try {
    return JSON.parse(text);
  } catch {
    throw misuse(`The file ${file} is not JSON.`);
  }
}

async function showType(type: AuthorizationType, json: true | undefined): Promise<void> {
  if (json) return printJson(presentType(type));
  return print(
    formatFields([
      ['Type', type.type],
      ['Name', type.name],
      ['API', type.api],
      ['Remembered', yesOrNo(type.isRemembered)],
      ['Fields', type.fields.map(inWords)],
      ['Created', `${formatTime(type.createdAt)} UTC`],
      ['Changed', `${formatTime(type.updatedAt)} UTC`],
    ]),
  );
}

function inWords(field: Field): string {
  const inner = field.kind === 'group' ? `: ${field.fields.map(inWords).join(', ')}` : '';
  return `${field.name} (${field.label}; ${field.kind}${field.required ? ', required' : ''}${inner})`;
}

function presentType(type: AuthorizationType): object {
  return {
    type: type.type,
    name: type.name,
    api: type.api,
    fields: type.fields,
    remembered: type.isRemembered,
    created_at: type.createdAt,
    updated_at: type.updatedAt,
  };
}
