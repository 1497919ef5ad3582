import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { basicOf, registerApplication, tokenRequest, type Application } from '../../support/application.ts';
import { createDeployment, type Deployment } from '../../support/deployment.ts';
import { eventually } from '../../support/eventually.ts';
import type { GatehouseProcess } from '../../support/gatehouse-process.ts';

const BODY = 'grant_type=client_credentials';

let deployment: Deployment;
let application: Application;

beforeAll(async () => {
  deployment = await createDeployment({ store: 'redis' });
  application = await registerApplication(deployment, {
    grantTypes: ['client_credentials'],
    redirectUris: [],
    scopes: [],
  });
}, 60_000);
afterAll(() => deployment?.stop());

/** A token request that the server has begun to answer, and whose body is still on its way. */
async function beginRequest(): Promise<{ finish: () => Promise<IncomingMessage>; pending: ClientRequest }> {
  const pending = request(`${deployment.issuer}/oauth/token`, {
    method: 'POST',
    headers: {
      authorization: basicOf(application),
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': BODY.length,
      // Node says that we may go on in the same breath in which it hands the request to the server.
      expect: '100-continue',
    },
  });
  pending.on('error', () => {});
  await once(pending, 'continue');
  pending.write(BODY.slice(0, 5));
  return {
    pending,
    finish: async () => {
      const answered = once(pending, 'response');
      pending.end(BODY.slice(5));
      const [response] = (await answered) as [IncomingMessage];
      response.resume();
      return response;
    },
  };
}

function exited({ child }: GatehouseProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

const stopsRecorded = async (): Promise<number> =>
  (await deployment.subjects.audit.list({ types: ['server.stopped'] })).events.length;

describe('SIGTERM', () => {
  it('finishes what is under way, takes nothing new, records the stop and exits with 0', async () => {
    const before = await stopsRecorded();
    const server = await deployment.startServer();
    const end = exited(server);
    const { finish } = await beginRequest();
    server.child.kill('SIGTERM');
    await eventually(() => expect(fetch(`${deployment.issuer}/healthz/live`)).rejects.toThrow());
    const response = await finish();
    expect(response.statusCode).toBe(200);
    expect(response.headers['connection']).toBe('close');
    expect(await end).toBe(0);
    expect(await stopsRecorded()).toBe(before + 1);
    const { events } = await deployment.subjects.audit.list({
      requestId: String(response.headers['x-request-id']),
    });
    expect(events.map(({ type }) => type)).toEqual(['token.issued']);
  }, 60_000);

  it('waits no longer than the grace time for who never finishes', async () => {
    const server = await deployment.startServer({ GATEHOUSE_SHUTDOWN_GRACE_SECONDS: '1' });
    const end = exited(server);
    const { pending } = await beginRequest();
    const closed = new Promise((resolve) => pending.once('close', resolve));
    const start = performance.now();
    server.child.kill('SIGTERM');
    expect(await end).toBe(0);
    expect(performance.now() - start).toBeLessThan(15_000);
    await closed;
  }, 60_000);

  it('drains first: not ready, but serving, and asks to be left; another signal changes nothing', async () => {
    const before = await stopsRecorded();
    const server = await deployment.startServer({ GATEHOUSE_SHUTDOWN_DRAIN_SECONDS: '6' });
    const end = exited(server);
    const expectDraining = async (): Promise<void> => {
      const ready = await fetch(`${deployment.issuer}/healthz/ready`);
      expect({ status: ready.status, body: await ready.json() }).toMatchObject({
        status: 503,
        body: { status: 'draining' },
      });
    };
    const start = performance.now();
    server.child.kill('SIGTERM');
    await eventually(expectDraining);
    server.child.kill('SIGTERM');
    server.child.kill('SIGINT');
    // For these two to arrive; where they are late, the time of its end still tells what they did.
    await delay(300);
    await expectDraining();
    const token = await tokenRequest(deployment, application, { grant_type: 'client_credentials' });
    expect({ status: token.status, connection: token.headers.get('connection') }).toEqual({
      status: 200,
      connection: 'close',
    });
    expect(await end).toBe(0);
    expect(performance.now() - start).toBeGreaterThanOrEqual(6_000);
    expect(await stopsRecorded()).toBe(before + 1);
  }, 60_000);

  it('stops in order while PostgreSQL is away, too', async () => {
    const server = await deployment.startServer();
    await deployment.postgres.stop('SIGQUIT');
    const start = performance.now();
    const end = exited(server);
    server.child.kill('SIGTERM');
    try {
      expect(await end).toBe(0);
      expect(performance.now() - start).toBeLessThan(30_000);
    } finally {
      await deployment.postgres.startAgain();
    }
  }, 60_000);
});

describe('SIGINT', () => {
  it('stops like SIGTERM', async () => {
    const server = await deployment.startServer();
    const end = exited(server);
    server.child.kill('SIGINT');
    expect(await end).toBe(0);
  }, 60_000);
});
