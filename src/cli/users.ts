import type { Command } from 'commander';

import type { Account } from '../accounts/account.ts';
import { AppError } from '../platform/errors.ts';
import { misuse } from './failure.ts';
import { addSecretOptions, parseCount, readSecret } from './input.ts';
import { type Operator, withOperator } from './operator.ts';
import { count, formatFields, formatTable, formatTime, note, print, printJson, yesOrNo } from './output.ts';

const PAGE = 500;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

interface PasswordOptions {
  passwordStdin?: true;
  passwordFile?: string;
}

interface CreateOptions extends PasswordOptions {
  email?: string;
  emailVerified?: true;
  username?: string;
  name?: string;
  sub?: string;
  role?: string[];
  json?: true;
}

export function addUsers(program: Command): void {
  const users = program
    .command('users')
    .description('The accounts of people. <user> is an id, an e-mail address, a user name or a sub.');

  addSecretOptions(
    users
      .command('create')
      .description('Make an account.')
      .option('--email <address>', 'the e-mail address, by which the person signs in (required)')
      .option('--email-verified', 'the address is known to be theirs')
      .option('--username <name>', 'a user name, by which they sign in too')
      .option('--name <name>', 'the name to show')
      .option('--role <role...>', 'give these roles')
      .option('--sub <identifier>', 'keep the subject identifier of another provider'),
    'password',
  )
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Without a password the account cannot sign in until \`users set-password\` gives it one.

Examples:
  $ gatehouse users create --email ada@example.com --email-verified --password-stdin < password.txt
  $ gatehouse users create --email ada@example.com --username ada --role editor --role auditor --password-file pw`,
    )
    .action(createUser);

  users
    .command('list')
    .description('List accounts, the oldest first.')
    .option('--query <text>', 'a part of the e-mail address, user name or name')
    .option('--limit <number>', 'at most so many', parseCount)
    .option('--json', 'print for machines, one account a line')
    .action(listUsers);

  users
    .command('show <user>')
    .description('Show an account, with its roles and second factors.')
    .option('--json', 'print for machines')
    .action((user: string, { json }: { json?: true }) =>
      withOperator(async (operator) => showUser(operator, await getAccount(operator, user), json)),
    );

  users
    .command('disable <user>')
    .description('Keep a person out: no sign-in, and every session and token ends.')
    .option('--force', 'also the last administrator')
    .option('--json', 'print for machines')
    .action((user: string, { force = false, json }: { force?: boolean; json?: true }) =>
      changeUser(user, json, 'disabled', ({ subjects, by }, { id }) =>
        subjects.accounts.disable(id, by, { force }),
      ),
    );

  users
    .command('enable <user>')
    .description('Let a disabled account sign in again.')
    .option('--json', 'print for machines')
    .action((user: string, { json }: { json?: true }) =>
      changeUser(user, json, 'enabled', ({ subjects, by }, { id }) => subjects.accounts.enable(id, by)),
    );

  users
    .command('sessions <user>')
    .description('List where a person is signed in. Sessions that merely ran out may be among them.')
    .option('--json', 'print for machines, one application of a session a line')
    .action(listSessions);

  users
    .command('sign-out <user>')
    .description('Sign a person out: of everything, of one session, or of one application.')
    .option('--session <uid>', 'of this session only, as `users sessions` names it')
    .option('--client <id>', 'of this application only, in every session')
    .option(
      '--offline',
      'also end what applications may do while the person is away, whatever the settings say',
    )
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Applications that are registered for it are told by the server, at once or when they can be reached.`,
    )
    .action(signOutUser);

  addSecretOptions(
    users
      .command('set-password <user>')
      .description('Give a new password. Every session and token of the account ends.'),
    'password',
  )
    .option('--json', 'print for machines')
    .addHelpText('after', '\nExample:\n  $ gatehouse users set-password ada --password-stdin < password.txt')
    .action(async (user: string, { json, ...options }: PasswordOptions & { json?: true }) => {
      const password = await readPassword(options);
      if (password === undefined)
        throw misuse('Give the new password by --password-stdin or --password-file.');
      await changeUser(user, json, 'has a new password', ({ subjects, by }, { id }) =>
        subjects.accounts.setPassword(id, password, by),
      );
    });

  users
    .command('reset-factors <user>')
    .description(
      'Remove the authenticator app and recovery codes. Every session and token of the account ends.',
    )
    .option('--json', 'print for machines')
    .action((user: string, { json }: { json?: true }) =>
      changeUser(user, json, 'has no second factor any more', async ({ subjects, by }, account) => {
        await subjects.factors.resetFactors(account.id, by);
        return account;
      }),
    );
}

/** @throws AppError `account_not_found` */
export async function getAccount({ subjects: { accounts } }: Operator, given: string): Promise<Account> {
  const account =
    (UUID.test(given) ? await accounts.findById(given) : undefined) ??
    (await accounts.findByLogin(given)) ??
    (await accounts.findBySub(given));
  if (!account) {
    throw new AppError(
      'account_not_found',
      404,
      `There is no account ${JSON.stringify(given)}. \`gatehouse users list --query\` finds one by a part of its name.`,
    );
  }
  return account;
}

async function createUser({ json, role: roles = [], ...options }: CreateOptions): Promise<void> {
  const { email, emailVerified = false, username, name, sub } = options;
  if (email === undefined) throw misuse('Give the e-mail address by --email.');
  const password = await readPassword(options);
  await withOperator(
    async ({ config, state: { db, clock }, by }) => {
      const [{ prepareAccount, createAccountInTransaction }, { createInlineHasher }] = await Promise.all([
        import('../accounts/service.ts'),
        import('../accounts/hashing/inline.ts'),
      ]);
      const [{ grantRoleInTransaction }, { passwordSettings }] = await Promise.all([
        import('../rbac/service.ts'),
        import('../subjects.ts'),
      ]);
      const input = {
        email,
        emailVerified,
        ...(username === undefined ? {} : { username }),
        ...(name === undefined ? {} : { name }),
        ...(sub === undefined ? {} : { sub }),
        ...(password === undefined ? {} : { password }),
      };
      const settings = passwordSettings(config);
      const prepared = await prepareAccount({ input, hasher: createInlineHasher(), settings });
      // An account without the roles it was to have would be a surprise: all or nothing.
      const account = await db.transaction(async (tx) => {
        const now = clock.now();
        const made = await createAccountInTransaction(tx, { prepared, by, now });
        for (const role of new Set(roles))
          await grantRoleInTransaction(tx, { accountId: made.id, role, by, now });
        return made;
      });
      if (json) return printJson({ id: account.id, sub: account.sub });
      await print(`Made the account ${account.email} (${account.id}).`);
      if (!account.hasPassword)
        note(
          `It has no password yet: gatehouse users set-password ${JSON.stringify(account.email)} --password-stdin`,
        );
    },
    { mayChange: true },
  );
}

async function listUsers({
  query,
  limit = Number.POSITIVE_INFINITY,
  json,
}: {
  query?: string;
  limit?: number;
  json?: true;
}): Promise<void> {
  await withOperator(async ({ subjects: { accounts } }) => {
    const found: Account[] = [];
    let listed = 0;
    let after: string | undefined;
    do {
      const size = Math.min(PAGE, limit - listed);
      const page = await accounts.list({
        limit: size,
        ...(query === undefined ? {} : { query }),
        ...(after === undefined ? {} : { after }),
      });
      listed += page.length;
      after = page.length < size ? undefined : page.at(-1)?.id;
      if (json) for (const account of page) await printJson(presentAccount(account));
      else found.push(...page);
    } while (after !== undefined && listed < limit);
    if (json) return;
    if (found.length === 0) return print(query === undefined ? 'There are no accounts.' : 'No account fits.');
    await print(
      formatTable(
        ['ID', 'E-MAIL', 'USER NAME', 'NAME', 'STATE', 'CREATED (UTC)'],
        found.map((account) => [
          account.id,
          account.email,
          account.username,
          account.name,
          account.disabledAt ? 'disabled' : 'enabled',
          formatTime(account.createdAt),
        ]),
      ),
    );
  });
}

async function changeUser(
  user: string,
  json: true | undefined,
  outcome: string,
  change: (operator: Operator, account: Account) => Promise<Account>,
): Promise<void> {
  await withOperator(
    async (operator) => {
      const account = await change(operator, await getAccount(operator, user));
      await (json ? printJson(presentAccount(account)) : print(`${account.email} ${outcome}.`));
    },
    { mayChange: true },
  );
}

async function listSessions(user: string, { json }: { json?: true }): Promise<void> {
  await withOperator(async (operator) => {
    const sessions = await operator.subjects.signOut.list(await getAccount(operator, user));
    if (!json) {
      return print(
        sessions.length === 0
          ? 'Signed in nowhere that is known of.'
          : formatTable(
              ['SESSION', 'CLIENT', 'LAST LET IN (UTC)', 'OFFLINE', 'LEFT', 'WITHDRAWN'],
              sessions.map(({ sessionUid, clientId, at, isOffline, isLeft, isWithdrawn }) => [
                sessionUid,
                clientId,
                formatTime(at),
                yesOrNo(isOffline),
                yesOrNo(isLeft),
                yesOrNo(isWithdrawn),
              ]),
            ),
      );
    }
    for (const { sessionUid, clientId, at, isOffline, isLeft, isWithdrawn } of sessions) {
      await printJson({
        session: sessionUid,
        client_id: clientId,
        at,
        offline: isOffline,
        left: isLeft,
        withdrawn: isWithdrawn,
      });
    }
    return undefined;
  });
}

async function signOutUser(
  user: string,
  { session, client, offline, json }: { session?: string; client?: string; offline?: true; json?: true },
): Promise<void> {
  if ([session, client, offline].filter((option) => option !== undefined).length > 1) {
    throw misuse('Give one of --session, --client and --offline.');
  }
  await withOperator(
    async (operator) => {
      const { signOut } = operator.subjects;
      const account = await getAccount(operator, user);
      const done =
        session !== undefined
          ? await signOut.session(account, session, operator.by)
          : client !== undefined
            ? await signOut.application(account, client, operator.by)
            : await signOut.everywhere(account, operator.by, { offline: offline ?? false });
      if (json) {
        return printJson({
          sessions: done.sessions,
          applications: done.applications,
          offline_grants: done.offlineGrants,
        });
      }
      return print(
        `${account.email} is signed out: ${count(done.sessions, 'session')}, ${count(done.applications, 'application')}, ${count(done.offlineGrants, 'offline grant')} ended.`,
      );
    },
    { mayChange: true },
  );
}

async function showUser({ subjects }: Operator, account: Account, json: true | undefined): Promise<void> {
  const roles = (await subjects.rbac.rolesOf(account.id)).map(({ name }) => name);
  const hasTotp = await subjects.factors.hasTotp(account.id);
  const recoveryCodes = await subjects.factors.remainingRecoveryCodes(account.id);
  if (json)
    return printJson({ ...presentAccount(account), roles, totp: hasTotp, recovery_codes: recoveryCodes });
  return print(
    formatFields([
      ['ID', account.id],
      ['Sub', account.sub],
      ['E-mail', `${account.email}${account.emailVerified ? ' (verified)' : ' (not verified)'}`],
      ['User name', account.username],
      ['Name', account.name],
      ['State', account.disabledAt ? `disabled since ${formatTime(account.disabledAt)} UTC` : 'enabled'],
      ['Password', yesOrNo(account.hasPassword)],
      [
        'Second factor',
        hasTotp ? `authenticator app, ${count(recoveryCodes, 'recovery code')} left` : 'none',
      ],
      ['Roles', roles.length > 0 ? roles : 'none'],
      ['Created', `${formatTime(account.createdAt)} UTC`],
      ['Changed', `${formatTime(account.updatedAt)} UTC`],
    ]),
  );
}

function readPassword({ passwordStdin, passwordFile }: PasswordOptions): Promise<string | undefined> {
  return readSecret('password', { isOnStdin: passwordStdin, file: passwordFile });
}

function presentAccount(account: Account): object {
  return {
    id: account.id,
    sub: account.sub,
    email: account.email,
    email_verified: account.emailVerified,
    username: account.username ?? null,
    name: account.name ?? null,
    has_password: account.hasPassword,
    disabled_at: account.disabledAt ?? null,
    created_at: account.createdAt,
    updated_at: account.updatedAt,
  };
}
