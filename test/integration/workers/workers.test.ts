/** `gatehouse start` with two workers: one server to everybody, whatever happens to one of them. */
import { createServer } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';

import { registerMachine } from '../../support/apis.ts';
import {
  basicOf,
  introspect,
  OPERATOR,
  refresh,
  signedIn,
  type Application,
} from '../../support/application.ts';
import { createDeployment, type Deployment } from '../../support/deployment.ts';
import { eventually, withinASecond } from '../../support/eventually.ts';
import type { GatehouseProcess } from '../../support/gatehouse-process.ts';
import type { TestServer } from '../../support/gatehouse.ts';
import { startLoad, type Load } from '../../support/load.ts';
import { expectEvidence } from '../../support/outage.ts';
import { freePort } from '../../support/ports.ts';

/** So many connections, one after the other, that hardly all reach the same worker. */
const ALL = Array.from({ length: 12 }, (_, index) => index);

describe('two workers', () => {
  let deployment: Deployment;
  let server: GatehouseProcess;
  let asServer: TestServer;
  let metricsUrl: string;
  let load: Load | undefined;
  beforeAll(async () => {
    const metricsPort = await freePort();
    metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`;
    deployment = await createDeployment({
      store: 'redis',
      env: {
        GATEHOUSE_WORKERS: '2',
        GATEHOUSE_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
        GATEHOUSE_SHUTDOWN_DRAIN_SECONDS: '1',
      },
    });
    server = await deployment.startServer();
    asServer = deployment as unknown as TestServer;
  }, 60_000);
  afterAll(async () => {
    load?.abandon();
    await deployment.stop();
  });

  /** On a connection of its own: the system gives it to one worker or the other. */
  const ask = (application: Application, path: string, form: Record<string, string>): Promise<Response> =>
    fetch(`${deployment.issuer}${path}`, {
      method: 'POST',
      headers: {
        authorization: basicOf(application),
        'content-type': 'application/x-www-form-urlencoded',
        connection: 'close',
      },
      body: new URLSearchParams(form),
    });
  const areActive = async (application: Application, token: string): Promise<boolean[]> => {
    const answers: boolean[] = [];
    for (const _ of ALL) {
      const answer = await ask(application, '/oauth/introspect', { token });
      answers.push(((await answer.json()) as { active: boolean }).active);
    }
    return answers;
  };
  /** The processes of the workers, the latest of each number. */
  const pids = (): Map<number, number> =>
    new Map(
      [...server.output().matchAll(/\{[^\n]*"msg":"worker started"[^\n]*\}/g)]
        .map(([line]) => JSON.parse(line) as { worker: number; pid: number })
        .map(({ worker, pid }) => [worker, pid]),
    );

  it('start once, and say so once', async () => {
    expect(pids().size).toBe(2);
    expect(server.output().match(/"msg":"listening"/g)).toHaveLength(1);
    const { events } = await deployment.subjects.audit.list({ types: ['server.started'] });
    expect(events).toHaveLength(2);
    for (const _ of ALL) expect((await fetch(`${deployment.issuer}/healthz/ready`)).status).toBe(200);
  });

  it('refuse what one of them revoked, within a second', async () => {
    const { application, tokens } = await signedIn(asServer);
    expect(await areActive(application, tokens.access_token)).toEqual(ALL.map(() => true));
    const revoked = await ask(application, '/oauth/revoke', { token: tokens.refresh_token ?? '' });
    expect(revoked.status).toBe(200);
    await withinASecond(async () => {
      expect(await areActive(application, tokens.access_token)).toEqual(ALL.map(() => false));
    });
    expect((await refresh(asServer, application, tokens.refresh_token ?? '')).status).toBe(400);
  });

  it('take over new keys together', async () => {
    const { application, tokens } = await signedIn(asServer);
    await deployment.subjects.keys.rotate({ alg: 'RS256', immediately: true }, OPERATOR);
    const { kid: former } = decodeProtectedHeader(tokens.id_token ?? '');
    let { refresh_token: token = '' } = tokens;
    await eventually(async () => {
      for (const _ of ALL) {
        const answer = await ask(application, '/oauth/token', {
          grant_type: 'refresh_token',
          refresh_token: token,
        });
        const renewed = (await answer.json()) as { refresh_token: string; id_token: string };
        token = renewed.refresh_token;
        const keys = createRemoteJWKSet(new URL(`${deployment.issuer}/oauth/jwks`));
        const { protectedHeader } = await jwtVerify(renewed.id_token, keys, { issuer: deployment.issuer });
        expect(protectedHeader.kid).not.toBe(former);
      }
    });
  });

  it('know of a changed client together', async () => {
    const machine = await registerMachine(deployment);
    const statuses = async (): Promise<number[]> => {
      const answers: number[] = [];
      for (const _ of ALL)
        answers.push((await ask(machine, '/oauth/token', { grant_type: 'client_credentials' })).status);
      return answers;
    };
    expect(await statuses()).toEqual(ALL.map(() => 200));
    const { clients } = deployment.subjects;
    const [former] = (await clients.get(machine.clientId)).secrets;
    const { secret } = await clients.rotateSecret(machine.clientId, {}, OPERATOR);
    await clients.removeSecret(machine.clientId, former?.id ?? '', OPERATOR);
    await eventually(async () => expect(await statuses()).toEqual(ALL.map(() => 401)));
    machine.secret = secret;
    expect(await statuses()).toEqual(ALL.map(() => 200));
    await clients.delete(machine.clientId, OPERATOR);
    await eventually(async () => expect(await statuses()).toEqual(ALL.map(() => 401)));
  });

  it('are counted as one', async () => {
    const requests = async (): Promise<number> => {
      const text = await (await fetch(metricsUrl)).text();
      return Number(
        /^gatehouse_http_request_seconds_count\{group="jwks",status="200"\} (\d+)/m.exec(text)?.[1] ?? 0,
      );
    };
    const before = await requests();
    for (const _ of ALL)
      await fetch(`${deployment.issuer}/oauth/jwks`, { headers: { connection: 'close' } }).then((answer) =>
        answer.text(),
      );
    await eventually(async () => expect((await requests()) - before).toBe(ALL.length));
  });

  it('lose nothing when one is killed under load, and there are two again', async () => {
    load = await startLoad({ server: deployment, clients: 2, pauseMs: 20 });
    const killed = pids();
    for (const number of [2, 1]) {
      const pid = killed.get(number);
      process.kill(pid ?? 0, 'SIGKILL');
      await eventually(async () => expect(pids().get(number)).not.toBe(pid));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    }
    await load.finish();
    expect(load.surprises).toEqual([]);
    for (const count of Object.values(load.done)) expect(count).toBeGreaterThan(0);
    await expectEvidence(load, deployment);
  }, 90_000);

  it('stop as one, and leave a whole chain', async () => {
    await eventually(async () => {
      const { events } = await deployment.subjects.audit.list({ types: ['server.started'] });
      expect(events).toHaveLength(4);
    });
    expect(await server.stop()).toBe(0);
    const { events } = await deployment.subjects.audit.list({ types: ['server.stopped'] });
    expect(events).toHaveLength(2);
    expect((await deployment.subjects.audit.verify()).isWhole).toBe(true);
    await expect(
      introspect(asServer, { clientId: 'x', secret: 'y', redirectUri: '' }, 'z'),
    ).rejects.toThrow();
  }, 30_000);

  it('end the whole start where one cannot, and say why', async () => {
    const other = createServer().listen(Number(deployment.env['PORT']));
    try {
      await expect(deployment.startServer()).rejects.toThrow(/ended with 1:[^]*taken/);
    } finally {
      other.close();
    }
  }, 30_000);
});
