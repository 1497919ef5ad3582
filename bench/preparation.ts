/** Clients, people and credentials to measure with, made by the doors that everybody uses: command line and HTTP. */
import { createHash, randomBytes } from 'node:crypto';

import { createPerson, type Person } from '../test/support/person.ts';
import { runLoad, type Load } from './load.ts';
import type { SetUp } from './set-ups.ts';

const REDIRECT_URI = 'https://app.example/callback';
const PASSWORD = randomBytes(18).toString('base64url');
const PEOPLE = 4;
/** Browsers, and with them grants, that the prepared codes spread over: requests of one crowd share little. */
const SESSIONS = 16;

export interface Credentials {
  clientId: string;
  secret: string;
}

export interface Population {
  machine: Credentials;
  application: Credentials;
  /** The same with ID tokens by EdDSA: signing with RSA takes as long as much of the rest. */
  quickApplication: Credentials;
  /** An API whose tokens are JWTs by EdDSA; the machine client may act there. */
  api: string;
  emails: readonly string[];
  password: string;
}

interface CreatedClient {
  client_id: string;
  client_secret: string;
}

/** A machine client, an application that nobody need consent to, and a few people. */
export async function populate({ command }: SetUp): Promise<Population> {
  const createClient = async (...args: string[]): Promise<Credentials> => {
    const created = (await command(['clients', 'create', ...args, '--json'])) as CreatedClient;
    return { clientId: created.client_id, secret: created.client_secret };
  };
  const machine = await createClient('--name', 'bench machine', '--grant-type', 'client_credentials');
  const createApplication = (...args: string[]): Promise<Credentials> =>
    createClient(
      '--name',
      'bench application',
      `--redirect-uri=${REDIRECT_URI}`,
      '--first-party',
      '--grant-type=authorization_code',
      '--grant-type=refresh_token',
      '--scope=openid profile email offline_access',
      ...args,
    );
  const application = await createApplication();
  const quickApplication = await createApplication('--id-token-alg=EdDSA');
  const api = 'https://api.bench.example';
  await command([
    'apis',
    'create',
    `--identifier=${api}`,
    '--name=bench API',
    '--permission=read=Read',
    '--alg=EdDSA',
    '--json',
  ]);
  await command(['clients', 'permit', machine.clientId, api, 'read', '--json']);
  const emails = Array.from({ length: PEOPLE }, (_, index) => `person-${index}@bench.example`);
  for (const email of emails) {
    await command(
      ['users', 'create', '--email', email, '--email-verified', '--password-stdin', '--json'],
      `${PASSWORD}\n`,
    );
  }
  return { machine, application, quickApplication, api, emails, password: PASSWORD };
}

/** PKCE's verifier is the same for all: what it is does not matter here. */
const VERIFIER = randomBytes(32).toString('base64url');

export function authorizationPath(
  { clientId }: Credentials,
  parameters: Record<string, string> = {},
): string {
  const query = new URLSearchParams({
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope: 'openid offline_access',
    state: randomBytes(9).toString('base64url'),
    nonce: randomBytes(9).toString('base64url'),
    code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    code_challenge_method: 'S256',
    ...parameters,
  });
  return `/oauth/authorize?${query.toString()}`;
}

/** The code that a redirect to the application carries. */
export function codeIn(location: string | string[] | undefined): string | undefined {
  return typeof location === 'string' && location.startsWith(REDIRECT_URI)
    ? (new URL(location).searchParams.get('code') ?? undefined)
    : undefined;
}

export function redemptionBody(code: string): string {
  return new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    code_verifier: VERIFIER,
    redirect_uri: REDIRECT_URI,
  }).toString();
}

export function basic({ clientId, secret }: Credentials): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`).toString('base64')}`;
}

/** Up to `wanted` authorization codes, within `seconds`: people who are signed in meet the application once more. */
export async function prepareCodes(
  { issuer }: SetUp,
  { emails, password }: Population,
  {
    application,
    wanted,
    seconds,
    connections,
  }: { application: Credentials; wanted: number; seconds: number; connections: number },
): Promise<string[]> {
  const cookies = await Promise.all(
    Array.from({ length: SESSIONS }, async (_, index) => {
      const person = createPerson(issuer);
      const page = await person.open(new URL(authorizationPath(application), issuer).href);
      await person.submit(page, { identifier: emails[index % emails.length] ?? '', password }, '/login');
      return cookieHeader(person);
    }),
  );
  const codes: string[] = [];
  let turn = 0;
  const authorizations: Load = {
    operations: wanted,
    steps: [
      {
        request: () => {
          turn += 1;
          return {
            method: 'GET',
            path: authorizationPath(application, { prompt: 'none' }),
            headers: { cookie: cookies[turn % cookies.length] ?? '' },
          };
        },
        accept: ({ headers }) => {
          const code = codeIn(headers['location']);
          if (code !== undefined) codes.push(code);
          return code !== undefined;
        },
      },
    ],
  };
  const { failures, firstFailure } = await runLoad(authorizations, { url: issuer, connections, seconds });
  if (failures > 0) throw new Error(`${failures} authorizations failed: ${firstFailure}`);
  return codes;
}

function cookieHeader({ cookies }: Person): string {
  return [...cookies].map(([key, { value }]) => `${key.split(';')[0]}=${value}`).join('; ');
}
