import { Option, type Command } from 'commander';

import type { EndedTokens } from '../keys/ended-tokens.ts';
import { SIGNING_ALGS, type SigningAlg, type SigningKey } from '../keys/signing-key.ts';
import { misuse } from './failure.ts';
import { withOperator } from './operator.ts';
import { count, formatTable, formatTime, print, printJson } from './output.ts';

export function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .description('What tokens and cookies are signed with, and secrets sealed.');

  keys
    .command('list')
    .description('List the signing keys, the newest first.')
    .option('--json', 'print for machines, one key a line')
    .action(listKeys);

  keys
    .command('rotate')
    .description(
      'Make the next signing key. It is published first, and signs when every application knows it.',
    )
    .addOption(new Option('--alg <alg>', 'of this algorithm only').choices(SIGNING_ALGS))
    .option('--immediately', 'sign with it at once: applications may refuse tokens until they fetch the keys')
    .option('--cookies', 'make a new key for cookies instead')
    .option('--json', 'print for machines, one key a line')
    .addHelpText(
      'after',
      `
A key that leaked: \`keys retire <kid> --now\`.`,
    )
    .action(rotateKeys);

  keys
    .command('retire <kid>')
    .description('End a key: its next takes over, and it stays published until its last token has expired.')
    .option('--now', 'a key that leaked: unpublish it at once everywhere, and say which tokens end with it')
    .addOption(new Option('--withdraw-now', 'the same').hideHelp())
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
With --now the next key signs at once; where there is none yet, one is made.`,
    )
    .action(retireKey);

  keys
    .command('reseal')
    .description('Seal with the present secret key what an earlier one sealed, so that that one can go.')
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
To replace the secret key: put the new one into GATEHOUSE_SECRET_KEY and the old one into
GATEHOUSE_PREVIOUS_SECRET_KEYS, restart every server, run this, then take the old one out.`,
    )
    .action(reseal);
}

async function listKeys({ json }: { json?: true }): Promise<void> {
  await withOperator(async ({ subjects }) => {
    const keys = await subjects.keys.list();
    if (json) {
      for (const key of keys) await printJson(presentKey(key));
      return;
    }
    await print(
      keys.length === 0
        ? 'There are no keys yet: the first start of the server makes them.'
        : formatKeys(keys),
    );
  });
}

async function rotateKeys({
  alg,
  immediately = false,
  cookies = false,
  json,
}: {
  alg?: SigningAlg;
  immediately?: boolean;
  cookies?: boolean;
  json?: true;
}): Promise<void> {
  if (cookies && (alg !== undefined || immediately)) {
    throw misuse('--cookies goes with neither --alg nor --immediately: cookie keys are of one kind.');
  }
  await withOperator(
    async ({ subjects, by }) => {
      if (cookies) {
        await subjects.keys.rotateCookieKeys(by);
        return json ? printJson({ cookies: true }) : print('Made a new key for cookies.');
      }
      const keys = await subjects.keys.rotate(alg === undefined ? { immediately } : { alg, immediately }, by);
      if (!json) return print(formatKeys(keys));
      for (const key of keys) await printJson(presentKey(key));
      return undefined;
    },
    { mayChange: true },
  );
}

async function retireKey(
  kid: string,
  { now, withdrawNow, json }: { now?: true; withdrawNow?: true; json?: true },
): Promise<void> {
  await withOperator(
    async ({ subjects, by }) => {
      if (!now && !withdrawNow) {
        const key = await subjects.keys.retire(kid, by);
        return json ? printJson(presentKey(key)) : print(formatKeys([key]));
      }
      const key = await subjects.keys.withdraw(kid, by);
      // It is out whatever becomes of the counting, and who waits for that sees so.
      if (!json) await print(`${formatKeys([key])}\n`);
      const ended = await subjects.keys.recordEnded(key, by).catch((error: Error) => error);
      if (json) {
        return printJson({
          ...presentKey(key),
          ended: ended instanceof Error ? null : ended.map(presentEnded),
        });
      }
      return print(describeEnded(ended));
    },
    { mayChange: true },
  );
}

function presentEnded({ kind, count: number, latestExpiry }: EndedTokens): object {
  return { kind, count: number, latest_expiry: latestExpiry };
}

function describeEnded(ended: readonly EndedTokens[] | Error): string {
  if (ended instanceof Error) {
    return `The key is out. Which tokens end with it could not be counted: ${ended.message}.`;
  }
  if (ended.length === 0) return 'No token that is known of and still good was signed by it.';
  const kinds = ended.map(
    ({ kind, count: number, latestExpiry }) =>
      `${count(number, kind.replaceAll('_', ' '))}, the last good until ${formatTime(latestExpiry)} UTC`,
  );
  return `These tokens end with it: ${kinds.join('; ')}. Applications refuse them as soon as they fetch the keys.`;
}

async function reseal({ json }: { json?: true }): Promise<void> {
  const [{ resealKeys }, { resealSecrets }] = await Promise.all([
    import('../keys/reseal.ts'),
    import('../accounts/reseal.ts'),
  ]);
  await withOperator(
    async ({ state: { db, sealer, clock }, by }) => {
      const keys = await resealKeys({ db, sealer, clock }, by);
      const secrets = await resealSecrets({ db, sealer, by });
      if (json) return printJson({ keys, account_secrets: secrets, key_id: sealer.currentKeyId });
      return print(
        keys + secrets === 0
          ? 'Everything is sealed with the present secret key already.'
          : `Sealed ${count(keys, 'key')} and ${count(secrets, 'secret')} of accounts anew. The previous secret keys can go from the settings.`,
      );
    },
    { mayChange: true },
  );
}

function formatKeys(keys: readonly SigningKey[]): string {
  const time = (at: Date | undefined): string | undefined => at && formatTime(at);
  return formatTable(
    ['KID', 'ALG', 'STATE', 'SIGNS FROM (UTC)', 'SIGNS UNTIL', 'PUBLISHED UNTIL'],
    keys.map((key) => [
      key.kid,
      key.alg,
      key.state,
      time(key.activatesAt),
      time(key.retiresAt),
      time(key.removesAt),
    ]),
  );
}

function presentKey(key: SigningKey): object {
  return {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    created_at: key.createdAt,
    activates_at: key.activatesAt,
    retires_at: key.retiresAt ?? null,
    removes_at: key.removesAt ?? null,
    public_jwk: key.publicJwk,
  };
}
