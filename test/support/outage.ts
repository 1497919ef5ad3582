/** A part of a deployment goes away in the middle of a load and comes back: what everybody may expect meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';

import { expect } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  registerApplication,
  registerPerson,
} from './application.ts';
import { createDeployment, type Deployment } from './deployment.ts';
import { gatherEvidence } from './evidence.ts';
import type { GatehouseProcess } from './gatehouse-process.ts';
import type { StoreKind } from './gatehouse.ts';
import { startLoad, type Load, type Noted } from './load.ts';
import { createPerson, type Visited } from './person.ts';
import { freeze, thaw } from './services/freeze.ts';

export type Outage = 'frozen' | 'stopped' | 'crashed';

const COMMIT_TIMEOUT_MS = 1_500;
/** What a busy machine may add to a time that we promise. */
const NOISE_MS = 2_500;
const WORKS_WITHIN_MS = 45_000;

/**
 * @param part what goes away; `crashed` is PostgreSQL's immediate stop
 * @param awayMs for how long
 */
export async function liveThrough({
  store,
  part,
  outage,
  awayMs,
  clients = 2,
}: {
  store: StoreKind;
  part: 'postgres' | 'redis';
  outage: Outage;
  awayMs: number;
  clients?: number;
}): Promise<void> {
  const deployment = await createDeployment({
    store,
    env: { GATEHOUSE_AUDIT_COMMIT_TIMEOUT_MS: String(COMMIT_TIMEOUT_MS) },
  });
  let load: Load | undefined;
  let server: GatehouseProcess | undefined;
  try {
    server = await deployment.startServer();
    load = await startLoad({ server: deployment, clients });
    await worksFor(load, 'before anything went away');
    const before = { ...load.done };
    const visitor = await atThePassword(deployment);
    const returning = await signedInBefore(deployment);

    const bringBack = await takeAway(deployment, part, outage);
    const awayAt = Date.now();
    await delay(awayMs / 2);
    await expectNotReady(deployment.issuer);
    expect(await visitor.submit()).toMatchObject({ isAway: false, status: 503 });
    expect((await returning.open()).url.searchParams.get('error')).toBe('temporarily_unavailable');
    await delay(awayMs / 2);
    const backAt = Date.now();
    await bringBack();

    const resumedInMs = await worksFor(load, 'after the return');
    expect(codeOf(await visitor.submit())).toMatch(/./);
    expect(codeOf(await returning.open())).toMatch(/./);
    await load.finish();

    const away = load.noted.filter(({ at, tookMs }) => at > awayAt + 50 && at + tookMs < backAt);
    report({ store, part, outage, load, before, away, resumedInMs });
    expectRefusals(away);
    expectPromptness(load.noted);
    expect(load.surprises).toEqual([]);
    expect(load.refusedCodes).toEqual([]);
    expect(server.child.exitCode).toBeNull();
    await expectEvidence(load, deployment);
  } catch (error) {
    if (server?.child.exitCode !== null)
      throw new Error(`the server ended:\n${server?.output().slice(-4_000)}`, { cause: error });
    throw error;
  } finally {
    load?.abandon();
    await deployment.stop();
  }
}

/** Every token that anybody holds is on record, nothing was spent twice, nobody was locked out, the chain is whole. */
export async function expectEvidence(load: Load, deployment: Deployment): Promise<void> {
  const evidence = await gatherEvidence(load, {
    connectionString: deployment.postgres.url,
    secretKey: deployment.secretKey,
  });
  expect(evidence).toMatchObject({
    unrecorded: [],
    ambiguous: [],
    wronglyRefused: [],
    chain: 'whole',
    issued: evidence.spent,
  });
  expect(load.received.length).toBeGreaterThan(0);
}

async function takeAway(
  { postgres, redis }: Deployment,
  part: 'postgres' | 'redis',
  outage: Outage,
): Promise<() => Promise<void>> {
  const service = part === 'postgres' ? postgres : redis;
  if (!service) throw new Error('there is no Redis in this deployment');
  if (outage === 'frozen') {
    const pid = service.pid();
    freeze(pid);
    return async () => thaw(pid);
  }
  await (outage === 'crashed' ? postgres.stop('SIGQUIT') : service.stop());
  return service.startAgain;
}

async function expectNotReady(issuer: string): Promise<void> {
  const [ready, live] = await Promise.all([
    fetch(`${issuer}/healthz/ready`),
    fetch(`${issuer}/healthz/live`),
  ]);
  expect({ ready: ready.status, live: live.status }).toEqual({ ready: 503, live: 200 });
}

/** Waits until everything has worked twice, by itself. @returns after how long */
async function worksFor({ done, surprises }: Load, when: string): Promise<number> {
  const start = performance.now();
  const before = { ...done };
  const isBack = (): boolean =>
    Object.entries(done).every(([operation, count]) => count > before[operation as keyof typeof before] + 1);
  while (!isBack()) {
    if (performance.now() - start > WORKS_WITHIN_MS)
      throw new Error(`something does not work ${when}: ${JSON.stringify({ before, done, surprises })}`);
    await delay(50);
  }
  return performance.now() - start;
}

function expectRefusals(away: readonly Noted[]): void {
  const atTokenEndpoint = away.filter(({ operation }) => !MANY_REQUESTS.has(operation));
  const odd = atTokenEndpoint.filter(
    ({ status, error, retryAfter }) =>
      status !== 503 || error !== 'temporarily_unavailable' || !(Number(retryAfter) > 0),
  );
  expect(odd).toEqual([]);
  for (const operation of ['machine', 'assertion', 'refresh'])
    expect(atTokenEndpoint.filter((noted) => noted.operation === operation)).not.toHaveLength(0);

  // At the authorization endpoint the application is told; within our pages, the person.
  const authorizations = away.filter(({ operation }) => operation === 'authorize');
  expect(authorizations.filter(({ error }) => error !== 'temporarily_unavailable')).toEqual([]);
  const signIns = away.filter(({ operation }) => operation === 'sign-in' || operation === 'renew');
  expect(
    signIns.filter(({ isPage, status, error }) =>
      isPage ? status !== 503 : error !== 'temporarily_unavailable',
    ),
  ).toEqual([]);
}

/** Somebody with a session, whose application looks whether they are still there. */
async function signedInBefore(deployment: Deployment): Promise<{ open: () => Promise<Visited> }> {
  const application = await registerApplication(deployment);
  const person = createPerson(deployment.issuer);
  const first = authorizationRequest(deployment, application);
  codeOf(await authorize(person, first, await registerPerson(deployment)));
  const silent = authorizationRequest(deployment, application, { prompt: 'none', scope: 'openid' });
  return { open: () => person.open(silent.url) };
}

/** Somebody who has the sign-in page before them and sends it whenever they are told that it might work now. */
async function atThePassword(deployment: Deployment): Promise<{ submit: () => Promise<Visited> }> {
  const application = await registerApplication(deployment);
  const { email, password } = await registerPerson(deployment);
  const person = createPerson(deployment.issuer);
  const page = await person.open(authorizationRequest(deployment, application).url);
  return { submit: () => person.submit(page, { identifier: email, password }, '/login') };
}

/** The token endpoint's are single ones. */
const MANY_REQUESTS: ReadonlySet<string> = new Set(['authorize', 'sign-in', 'renew']);

function expectPromptness(noted: readonly Noted[]): void {
  const slow = noted.filter(
    ({ operation, tookMs }) => !MANY_REQUESTS.has(operation) && tookMs > COMMIT_TIMEOUT_MS + NOISE_MS,
  );
  expect(slow).toEqual([]);
}

function report({
  store,
  part,
  outage,
  load,
  before,
  away,
  resumedInMs,
}: {
  store: StoreKind;
  part: string;
  outage: Outage;
  load: Load;
  before: Load['done'];
  away: readonly Noted[];
  resumedInMs: number;
}): void {
  const total = (counts: Load['done']): number => Object.values(counts).reduce((sum, count) => sum + count);
  const slowest = Math.max(...load.noted.map(({ tookMs }) => tookMs));
  const refused = Object.fromEntries(
    Object.keys(before).map((operation) => [
      operation,
      away.filter((noted) => noted.operation === operation).length,
    ]),
  );
  process.stderr.write(
    `${part} ${outage}, sessions in ${store}: ${total(before)} operations before, ${away.length} refused meanwhile ` +
      `(${JSON.stringify(refused)}), ` +
      `all kinds again ${(resumedInMs / 1000).toFixed(1)} s after its return, ${total(load.done)} at the end; ` +
      `the slowest answer took ${slowest.toFixed(0)} ms; ${load.received.length} tokens received\n`,
  );
}
