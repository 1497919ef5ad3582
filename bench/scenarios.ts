/** What is measured, each as a load: what is sent, and which answer is the right one. */
import { type Answer, type Load, type Memory, runLoad, type Step } from './load.ts';
import {
  authorizationPath,
  basic,
  codeIn,
  type Credentials,
  type Population,
  prepareCodes,
  redemptionBody,
} from './preparation.ts';
import type { SetUp } from './set-ups.ts';

export interface ScenarioInput {
  setUp: SetUp;
  population: Population;
  seconds: number;
  connections: number;
}

export interface Scenario {
  name: string;
  /** For what is too slow to be seen in less. */
  leastSeconds?: number;
  /** Makes the credentials that it will use up. */
  prepare: (input: ScenarioInput) => Promise<Load>;
}

/** A parameter that nobody knows sends a request past the short way (src/oidc/fast). */
const BY_THE_LIBRARY = '&bench=1';
/** More than a server on two cores redeems in a second. */
const CODES_PER_SECOND = 500;
/** The end of a load breaks connections off, and what they were sending is lost. */
const REFRESH_TOKENS_PER_CONNECTION = 4;

export const SCENARIOS: readonly Scenario[] = [
  { name: 'client_credentials', prepare: async ({ population }) => clientCredentials(population) },
  { name: 'machine-jwt', prepare: async ({ population }) => machineTokens(population) },
  {
    name: 'machine-jwt-library',
    prepare: async ({ population }) => machineTokens(population, BY_THE_LIBRARY),
  },
  { name: 'code', prepare: prepareRedemptions },
  { name: 'refresh', prepare: (input) => prepareRefreshes(input, input.population.application) },
  { name: 'refresh-eddsa', prepare: (input) => prepareRefreshes(input, input.population.quickApplication) },
  {
    name: 'refresh-eddsa-library',
    prepare: (input) => prepareRefreshes(input, input.population.quickApplication, BY_THE_LIBRARY),
  },
  { name: 'introspection', prepare: (input) => prepareIntrospection(input) },
  { name: 'introspection-library', prepare: (input) => prepareIntrospection(input, BY_THE_LIBRARY) },
  { name: 'introspection-person', prepare: prepareIntrospectionOfPerson },
  { name: 'discovery', prepare: async () => get('/.well-known/openid-configuration') },
  { name: 'jwks', prepare: async () => get('/oauth/jwks') },
  { name: 'sign-in', leastSeconds: 1.5, prepare: async ({ population }) => signIn(population) },
];

export function clientCredentials({ machine }: Population): Load {
  return { steps: [tokenStep(machine, () => 'grant_type=client_credentials')] };
}

function machineTokens({ machine, api }: Population, more = ''): Load {
  const body = `grant_type=client_credentials&resource=${encodeURIComponent(api)}&scope=read${more}`;
  return { steps: [tokenStep(machine, () => body)] };
}

async function prepareRedemptions(input: ScenarioInput): Promise<Load> {
  const { application } = input.population;
  const codes = await codesFor(input, application, Math.ceil(input.seconds * CODES_PER_SECOND));
  return { operations: codes.length, steps: [redemption(application, codes)] };
}

/** Each token that a refresh returns goes back to the pool for the next one. */
async function prepareRefreshes(input: ScenarioInput, application: Credentials, more = ''): Promise<Load> {
  const answers = await signInsFor(input, application, input.connections * REFRESH_TOKENS_PER_CONNECTION);
  const pool = answers.map(({ refresh_token: token }) => token);
  return {
    steps: [
      tokenStep(
        application,
        () => `grant_type=refresh_token&refresh_token=${taken(pool)}${more}`,
        ({ body }) => {
          pool.unshift((JSON.parse(body) as { refresh_token: string }).refresh_token);
        },
      ),
    ],
  };
}

async function prepareIntrospectionOfPerson(input: ScenarioInput): Promise<Load> {
  const { application } = input.population;
  const [answer] = await signInsFor(input, application, input.connections);
  return introspection(application, `token=${answer?.access_token}`);
}

async function prepareIntrospection({ setUp, population }: ScenarioInput, more = ''): Promise<Load> {
  const { machine } = population;
  const response = await fetch(new URL('/oauth/token', setUp.issuer), {
    method: 'POST',
    headers: formHeaders(machine),
    body: 'grant_type=client_credentials',
  });
  const { access_token: token } = (await response.json()) as { access_token: string };
  return introspection(machine, `token=${token}${more}`);
}

function introspection(client: Credentials, body: string): Load {
  const headers = formHeaders(client);
  return {
    steps: [
      {
        request: () => ({ method: 'POST', path: '/oauth/introspect', headers, body }),
        accept: ({ status, body }) => status === 200 && body.includes('"active":true'),
      },
    ],
  };
}

function get(path: string): Load {
  return {
    steps: [{ request: () => ({ method: 'GET', path }), accept: ({ status }) => status === 200 }],
  };
}

/**
 * A new browser each time: to the application's request, the page, the password, and back with a code.
 *
 * @param onBusy called where the server has no capacity left and says so (503 with Retry-After); without it that is a
 *   failure
 */
export function signIn({ application, emails, password }: Population, onBusy?: () => void): Load {
  let turn = 0;
  const isBusy = ({ status, headers }: Answer): boolean =>
    onBusy !== undefined && status === 503 && headers['retry-after'] !== undefined;
  const follow = (expected: number, next: Partial<Step> = {}): Step => ({
    request: (memory) => ({
      method: 'GET',
      path: String(memory['location']),
      headers: { cookie: cookieOf(memory), accept: 'text/html' },
    }),
    accept: (answer, memory) => {
      remember(answer, memory);
      return answer.status === expected;
    },
    ...next,
  });
  return {
    steps: [
      follow(303, { request: () => ({ method: 'GET', path: authorizationPath(application) }) }),
      follow(200),
      follow(303, {
        request: (memory) => {
          turn += 1;
          const [path = '', query] = String(memory['location']).split('?');
          return {
            method: 'POST',
            path: `${path}/login?${query}`,
            headers: { cookie: cookieOf(memory), 'content-type': 'application/x-www-form-urlencoded' },
            body: new URLSearchParams({
              identifier: emails[turn % emails.length] ?? '',
              password,
            }).toString(),
          };
        },
        accept: (answer, memory) => {
          remember(answer, memory);
          if (!isBusy(answer)) return answer.status === 303;
          onBusy?.();
          memory['isBusy'] = true;
          return true;
        },
      }),
      follow(303, {
        accept: ({ headers }, memory) =>
          memory['isBusy'] === true || codeIn(headers['location']) !== undefined,
      }),
    ],
  };
}

/** What a browser keeps. Paths need not be told apart: these cookies have different names. */
function remember({ headers }: Answer, memory: Memory): void {
  const cookies = (memory['cookies'] ??= {}) as Record<string, string>;
  for (const line of [headers['set-cookie'] ?? []].flat()) {
    const [name = '', value = ''] = (line.split(';')[0] ?? '').split(/=(.*)/s);
    cookies[name] = value;
  }
  const { location } = headers;
  if (typeof location === 'string') {
    const { pathname, search } = new URL(location, 'http://issuer.example');
    memory['location'] = pathname + search;
  }
}

function cookieOf(memory: Memory): string {
  return Object.entries((memory['cookies'] ?? {}) as Record<string, string>)
    .map(([name, value]) => `${name}=${value}`)
    .join('; ');
}

function tokenStep(client: Credentials, body: () => string, keep: (answer: Answer) => void = () => {}): Step {
  const headers = formHeaders(client);
  return {
    request: () => ({ method: 'POST', path: '/oauth/token', headers, body: body() }),
    accept: (answer) => {
      if (answer.status !== 200) return false;
      keep(answer);
      return true;
    },
  };
}

function formHeaders(client: Credentials): Record<string, string> {
  return { authorization: basic(client), 'content-type': 'application/x-www-form-urlencoded' };
}

function redemption(application: Credentials, codes: string[], keep?: (answer: Answer) => void): Step {
  return tokenStep(application, () => redemptionBody(taken(codes)), keep);
}

async function codesFor(
  { setUp, population, connections }: ScenarioInput,
  application: Credentials,
  wanted: number,
): Promise<string[]> {
  return prepareCodes(setUp, population, { application, wanted, connections, seconds: 20 });
}

interface SignedIn {
  access_token: string;
  refresh_token: string;
}

async function signInsFor(
  input: ScenarioInput,
  application: Credentials,
  wanted: number,
): Promise<SignedIn[]> {
  const codes = await codesFor(input, application, wanted);
  const tokens: SignedIn[] = [];
  const step = redemption(application, codes, ({ body }) => {
    tokens.push(JSON.parse(body) as SignedIn);
  });
  const { issuer: url } = input.setUp;
  const load = { operations: wanted, steps: [step] };
  const { firstFailure } = await runLoad(load, { url, connections: input.connections, seconds: 20 });
  if (firstFailure) throw new Error(`a code could not be redeemed: ${firstFailure}`);
  return tokens;
}

function taken(pool: string[]): string {
  const next = pool.pop();
  if (next === undefined) throw new Error('the prepared credentials are used up');
  return next;
}
