import { Option, type Command } from 'commander';

import { CLIENT_KINDS, CLIENT_SCOPES, type ClientKind } from '../clients/client.ts';
import {
  REGISTRABLE_AUTH_METHODS,
  REGISTRABLE_GRANT_TYPES,
  type RegistrationPolicy,
} from '../clients/registration/policy.ts';
import { isLive, type RegistrationToken } from '../clients/registration/tokens.ts';
import { misuse } from './failure.ts';
import { parseCount, parseDuration } from './input.ts';
import { withOperator } from './operator.ts';
import { formatFields, formatTable, formatTime, note, print, printJson } from './output.ts';

interface CreateOptions {
  name?: string;
  uses?: number;
  expires?: number;
  redirectHost?: string[];
  grantType?: RegistrationPolicy['grantTypes'];
  scope?: RegistrationPolicy['scopes'];
  authMethod?: RegistrationPolicy['authMethods'];
  kind?: ClientKind[];
  json?: true;
}

const WITHOUT_ROLES = CLIENT_SCOPES.filter((scope) => scope !== 'roles');

export function addRegistrationTokens(program: Command): void {
  const tokens = program
    .command('registration-tokens')
    .description(
      'Tokens with which applications register themselves (RFC 7591), and what they may register.',
    );

  tokens
    .command('create')
    .description('Make a token. It is shown this once.')
    .option('--name <name>', 'whom it is for (required)')
    .option('--uses <number>', 'how many clients it registers; as many as one likes without it', parseCount)
    .option('--expires <duration>', 'when it ends: 2h, 7d; never without it', parseDuration)
    .option('--redirect-host <host...>', 'where people may be sent back to')
    .addOption(
      new Option('--kind <kind...>', 'what may be registered; all but machine without it').choices(
        CLIENT_KINDS,
      ),
    )
    .addOption(
      new Option(
        '--grant-type <type...>',
        'authorization_code and refresh_token without it, client_credentials for machines',
      ).choices(REGISTRABLE_GRANT_TYPES),
    )
    .addOption(new Option('--scope <scope...>', 'all but roles without it').choices(CLIENT_SCOPES))
    .addOption(
      new Option('--auth-method <method...>', 'how they may authenticate; any without it').choices(
        REGISTRABLE_AUTH_METHODS,
      ),
    )
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
A redirect host is app.example.com, app.example.com:8443, *.example.com (what is below it), * (any host, by https),
loopback (http on the person's own machine), com.example.app: (a scheme of an installed application) or private-use (any
such scheme). What is registered is third-party, people are asked, PKCE is required; nothing changes that.

Examples:
  $ gatehouse registration-tokens create --name "Team Atlas" --uses 5 --expires 7d --redirect-host *.atlas.example.com
  $ gatehouse registration-tokens create --name Robots --kind machine`,
    )
    .action(createToken);

  tokens
    .command('list')
    .description('List the tokens, used up and revoked ones as well.')
    .option('--json', 'print for machines, one token a line')
    .action(listTokens);

  tokens
    .command('revoke <token-id>')
    .description('End a token. What was registered with it stays; `clients delete` ends that.')
    .option('--json', 'print for machines')
    .action((id: string, { json }: { json?: true }) =>
      withOperator(
        async ({ subjects, by, state }) => {
          const token = await subjects.registrationTokens.revoke(id, by);
          await (json
            ? printJson(presentToken(token, state.clock.now()))
            : print(`Revoked the registration token ${token.name}.`));
        },
        { mayChange: true },
      ),
    );
}

async function createToken({ name, uses, expires, json, ...options }: CreateOptions): Promise<void> {
  if (name === undefined) throw misuse('Say by --name whom it is for.');
  const policy = policyFrom(options);
  await withOperator(
    async ({ config, state: { clock }, subjects, by }) => {
      const now = clock.now();
      const { token, stored } = await subjects.registrationTokens.create(
        {
          name,
          policy,
          ...(uses !== undefined && { maxUses: uses }),
          ...(expires !== undefined && { expiresAt: new Date(now.getTime() + expires * 1_000) }),
        },
        by,
      );
      if (!config.registration.enabled) {
        note('Registration is off: set GATEHOUSE_REGISTRATION_ENABLED=true for the server.');
      }
      if (json) return printJson({ ...presentToken(stored, now), token });
      await print(formatToken(stored));
      return print(`\nThe registration token, shown this once:\n  ${token}`);
    },
    { mayChange: true },
  );
}

function policyFrom({ redirectHost, grantType, scope, authMethod, kind }: CreateOptions): RegistrationPolicy {
  const kinds = kind ?? CLIENT_KINDS.filter((one) => one !== 'machine');
  const hasPeople = kinds.some((one) => one !== 'machine');
  if (hasPeople && redirectHost === undefined) {
    throw misuse('Say by --redirect-host where people may be sent back to, or take --kind machine.');
  }
  return {
    redirectHosts: redirectHost ?? [],
    grantTypes: grantType ?? [
      ...(hasPeople ? (['authorization_code', 'refresh_token'] as const) : []),
      ...(kinds.includes('machine') ? (['client_credentials'] as const) : []),
    ],
    scopes: scope ?? WITHOUT_ROLES,
    authMethods: authMethod ?? [...REGISTRABLE_AUTH_METHODS],
    kinds,
  };
}

async function listTokens({ json }: { json?: true }): Promise<void> {
  await withOperator(async ({ subjects, state }) => {
    const now = state.clock.now();
    const tokens = await subjects.registrationTokens.list();
    if (json) {
      for (const token of tokens) await printJson(presentToken(token, now));
      return;
    }
    await print(
      tokens.length === 0
        ? 'There are no registration tokens.'
        : formatTable(
            ['ID', 'NAME', 'USED', 'EXPIRES (UTC)', 'STATE'],
            tokens.map((token) => [
              token.id,
              token.name,
              token.maxUses === undefined ? String(token.uses) : `${token.uses} of ${token.maxUses}`,
              token.expiresAt ? formatTime(token.expiresAt) : 'never',
              stateOf(token, now),
            ]),
          ),
    );
  });
}

function stateOf(token: RegistrationToken, now: Date): string {
  if (isLive(token, now)) return 'good';
  if (token.revokedAt) return 'revoked';
  return token.expiresAt && token.expiresAt <= now ? 'expired' : 'used up';
}

function presentToken(token: RegistrationToken, now: Date): object {
  const { policy } = token;
  return {
    id: token.id,
    name: token.name,
    state: stateOf(token, now).replace(' ', '_'),
    uses: token.uses,
    max_uses: token.maxUses ?? null,
    redirect_hosts: policy.redirectHosts,
    grant_types: policy.grantTypes,
    scopes: policy.scopes,
    auth_methods: policy.authMethods,
    kinds: policy.kinds,
    created_at: token.createdAt,
    expires_at: token.expiresAt ?? null,
    revoked_at: token.revokedAt ?? null,
  };
}

function formatToken({ id, name, policy, maxUses, expiresAt }: RegistrationToken): string {
  return formatFields([
    ['Id', id],
    ['For', name],
    ['Clients', maxUses === undefined ? 'as many as one likes' : `at most ${maxUses}`],
    ['Expires', expiresAt ? `${formatTime(expiresAt)} UTC` : 'never'],
    ['Redirect hosts', policy.redirectHosts.join(' ') || 'none'],
    ['Kinds', policy.kinds.join(' ')],
    ['Grant types', policy.grantTypes.join(' ')],
    ['Scopes', policy.scopes.join(' ') || 'none'],
    ['Authentication', policy.authMethods.join(' ')],
  ]);
}
