import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { clusterPaths, findCluster } from '../../../src/platform/embedded-postgres/places.ts';
import { isRunning, readPostmaster } from '../../../src/platform/embedded-postgres/postmaster.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  refresh,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { eventually } from '../../support/eventually.ts';
import {
  runGatehouse,
  startGatehouseProcess,
  type GatehouseProcess,
} from '../../support/gatehouse-process.ts';
import { createPerson } from '../../support/person.ts';
import { freePort } from '../../support/ports.ts';

const PASSWORD = 'seven quiet lanterns drift';

let env: Record<string, string>;
let gatehouse: GatehouseProcess | undefined;

beforeEach(async () => {
  env = {
    GATEHOUSE_DATA_DIR: await mkdtemp(path.join(os.tmpdir(), 'gh-embedded-')),
    PORT: String(await freePort(3)),
  };
});
afterEach(async () => {
  if (gatehouse?.child.exitCode === null && gatehouse.child.signalCode === null) await gatehouse.stop();
  await rm(env['GATEHOUSE_DATA_DIR'] ?? '', { recursive: true, force: true });
});

/** Whether the PostgreSQL of the data directory runs. */
async function isDatabaseUp(): Promise<boolean> {
  const cluster = await findCluster(path.join(env['GATEHOUSE_DATA_DIR'] ?? '', 'postgres'));
  const paths = clusterPaths(cluster ?? '');
  const postmaster = await readPostmaster(paths);
  return postmaster !== undefined && isRunning(postmaster, paths);
}

async function create<T>(noun: string, args: string[], input = ''): Promise<T> {
  const { code, stdout, stderr } = await runGatehouse([noun, 'create', ...args, '--json'], env, input);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

it.each([
  ['alone', 1],
  ['with two workers', 2],
])(
  'recovers from kill -9 with its own database, and Ctrl-C ends all in order: %s',
  async (_name, workers) => {
    env['GATEHOUSE_WORKERS'] = String(workers);
    gatehouse = await startGatehouseProcess(env);
    const server = { issuer: gatehouse.printed().issuer };
    const registered = await create<{ client_id: string; client_secret: string }>('clients', [
      '--name=Application',
      '--first-party',
      '--redirect-uri=https://app.example/callback',
      '--grant-type=authorization_code',
      '--grant-type=refresh_token',
      '--scope=openid',
      '--scope=offline_access',
    ]);
    const application: Application = {
      clientId: registered.client_id,
      secret: registered.client_secret,
      redirectUri: 'https://app.example/callback',
    };
    await create('users', ['--email', 'ada@example.test', '--password-stdin'], PASSWORD);
    const person = createPerson(server.issuer);
    const signIn = authorizationRequest(server, application);
    const code = codeOf(await authorize(person, signIn, { email: 'ada@example.test', password: PASSWORD }));
    const first = await redeem(server, application, { code, verifier: signIn.verifier });
    expect(first.status).toBe(200);
    const tokens = (await first.json()) as Tokens;

    gatehouse.child.kill('SIGKILL');
    await new Promise((resolve) => gatehouse!.child.once('exit', resolve));
    // Workers are gone with whoever started them.
    await eventually(() => expect(fetch(`${server.issuer}/healthz/live`)).rejects.toThrow());
    gatehouse = await startGatehouseProcess(env, { isGroupLeader: true });

    const silent = authorizationRequest(server, application, { prompt: 'none', scope: 'openid' });
    expect(codeOf(await person.open(silent.url))).toMatch(/./);
    expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(200);
    const again = authorizationRequest(server, application);
    const newcomer = createPerson(server.issuer);
    expect(
      codeOf(await authorize(newcomer, again, { email: 'ada@example.test', password: PASSWORD })),
    ).toMatch(/./);

    // As a terminal does it: the whole group at once.
    const ended = new Promise((resolve) => gatehouse!.child.once('exit', (...end) => resolve(end)));
    expect(await isDatabaseUp()).toBe(true);
    process.kill(-(gatehouse.child.pid ?? 0), 'SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(await isDatabaseUp()).toBe(false);

    const verified = await runGatehouse(['audit', 'verify', '--json'], env);
    expect(verified.code).toBe(0);
    const stops = await runGatehouse(['audit', 'list', '--type', 'server.stopped', '--json'], env);
    expect(stops.stdout.trim().split('\n')).toHaveLength(workers);
    expect(await isDatabaseUp()).toBe(false);
  },
  120_000,
);
