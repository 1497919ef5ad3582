/**
 * A failover brings back a Redis that has not heard of the latest: here one that is put back to a snapshot. What was
 * spent, revoked or signed out stays so, because PostgreSQL was told.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { createRedis, type Redis } from '../../../src/platform/redis.ts';
import {
  type Application,
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  introspect,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../../support/application.ts';
import { answer, asked, openApprovals, poll, registerDesk } from '../../support/ciba.ts';
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { approve, enterCode, pollDevice, registerDevice, startDevice } from '../../support/devices.ts';
import { proofAt, proofKey, proven } from '../../support/dpop.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { answerOf, type Answer } from '../../support/races/deployment.ts';
import { expectDead } from '../../support/races/expect-dead.ts';
import { presentAssertion, registerSigner } from '../../support/races/proofs.ts';
import { revoke, signOut } from '../../support/races/revocations.ts';
import { takeSnapshot } from '../../support/redis-snapshot.ts';
import { startRedis, type RedisServer } from '../../support/services/redis.ts';

const REFUSED = { status: 400, text: expect.stringContaining('invalid_grant') };
const RETRY_WINDOW_SECONDS = 30;

describe('a Redis that forgets', () => {
  let directory: string;
  let service: RedisServer;
  let redis: Redis;
  let clock: ShiftedClock;
  let server: TestServer;
  let application: Application;
  let credentials: { email: string; password: string };
  let person: Person;
  beforeAll(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'gh-test-redis-'));
    service = await startRedis({ directory });
    redis = createRedis({ url: service.url });
    await redis.connect();
    clock = createShiftedClock();
    server = await startGatehouse({ store: 'redis', clock, env: { GATEHOUSE_REDIS_URL: service.url } });
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    await redis.quit();
    await service.stop();
    await rm(directory, { recursive: true, force: true });
  });
  beforeEach(async () => {
    application = await registerApplication(server);
    credentials = await registerPerson(server);
    person = createPerson(server.issuer);
  });

  const signIn = async (scope = 'openid offline_access') => {
    const request = authorizationRequest(server, application, { scope });
    const code = codeOf(await authorize(person, request, credentials));
    return { code, verifier: request.verifier };
  };

  const redeemed = async (grant: { code: string; verifier: string }): Promise<Tokens> =>
    tokensIn(await answerOf(redeem(server, application, grant)));

  it('refuses a code that was redeemed, and ends its grant', async () => {
    const grant = await signIn();
    const snapshot = await takeSnapshot(redis);
    const tokens = await redeemed(grant);
    await snapshot.restore();

    expect(await answerOf(redeem(server, application, grant))).toMatchObject(REFUSED);
    await expectDead([server], application, tokens);
    expect(await answerOf(redeem(server, application, grant))).toMatchObject(REFUSED);
  });

  it('ends the grant of a replayed code also where the tokens are still there', async () => {
    await redis.flushall();
    const grant = await signIn();
    const tokens = await redeemed(grant);
    // Only the code came back: its key alone is put to what it was before.
    await redis.hdel(await keyOf('AuthorizationCode'), 'by', 'at', 'lease', 'final');

    expect(await answerOf(redeem(server, application, grant))).toMatchObject(REFUSED);
    await expectDead([server], application, tokens);
  });

  it('refuses a refresh token that was spent, and ends the family', async () => {
    const before = await redeemed(await signIn());
    const first = before.refresh_token ?? '';
    const snapshot = await takeSnapshot(redis);
    const successor = tokensIn(await answerOf(refresh(server, application, first)));
    await snapshot.restore();
    expect(await introspect(server, application, before.access_token)).toMatchObject({ active: true });
    clock.advanceSeconds(RETRY_WINDOW_SECONDS + 1);

    expect(await answerOf(refresh(server, application, first))).toMatchObject(REFUSED);
    await expectDead([server], application, before);
    await expectDead([server], application, successor);
  });

  it('never gives a second successor, however early the replay comes', async () => {
    const { refresh_token: first = '' } = await redeemed(await signIn());
    const snapshot = await takeSnapshot(redis);
    await answerOf(refresh(server, application, first));
    await snapshot.restore();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => answerOf(refresh(server, application, first))),
    );
    expect(answers).toEqual(answers.map(() => expect.objectContaining(REFUSED)));
  });

  it('does not bring a revoked access token back', async () => {
    const tokens = await redeemed(await signIn());
    const snapshot = await takeSnapshot(redis);
    await revoke(server, application, tokens.access_token);
    await snapshot.restore();
    expect(await introspect(server, application, tokens.access_token)).toEqual({ active: false });
  });

  it('does not bring a revoked grant back', async () => {
    const tokens = await redeemed(await signIn());
    const snapshot = await takeSnapshot(redis);
    await revoke(server, application, tokens.refresh_token ?? '');
    await snapshot.restore();
    await expectDead([server], application, tokens);
  });

  it('does not sign in silently by a session that was signed out', async () => {
    const tokens = await redeemed(await signIn('openid'));
    const cookies = new Map(person.cookies);
    const snapshot = await takeSnapshot(redis);
    await signOut(person, server);
    await snapshot.restore();
    for (const [key, cookie] of cookies) person.cookies.set(key, cookie);

    const silently = await person.open(authorizationRequest(server, application, { prompt: 'none' }).url);
    expect(silently.url.searchParams.get('error')).toBe('login_required');
    const page = await person.open(authorizationRequest(server, application).url);
    expect(page.html).toContain('name="password"');
    await expectDead([server], application, tokens);
  });

  it('refuses a device code that was redeemed, and ends its grant', async () => {
    const device = await registerDevice(server, { authMethod: 'client_secret_basic' });
    const { device_code: code, user_code: userCode } = await startDevice(server, device);
    await approve(person, server, userCode, credentials);
    const snapshot = await takeSnapshot(redis);
    const tokens = tokensIn(await answerOf(pollDevice(server, device, code)));
    await snapshot.restore();

    expect(await answerOf(pollDevice(server, device, code))).toMatchObject(REFUSED);
    await expectDead([server], device, tokens);
  });

  it('lets nobody approve a device that somebody said no to', async () => {
    const device = await registerDevice(server);
    const { device_code: code, user_code: userCode } = await startDevice(server, device);
    const question = await enterCode(person, server, userCode);
    const snapshot = await takeSnapshot(redis);
    const declined = await person.submit(question, { abort: 'yes' }, '/device');
    expect(declined.html).toContain('The device was not connected');
    await snapshot.restore();

    const late = await approve(createPerson(server.issuer), server, userCode, credentials);
    expect(late.html).toContain('That code was already used.');
    expect(await answerOf(pollDevice(server, device, code))).toMatchObject({ status: 400 });
  });

  it('refuses a client assertion that was presented', async () => {
    const signer = await registerSigner(server);
    const snapshot = await takeSnapshot(redis);
    let assertion: Answer[] = [];
    const replay = await presentAssertion([server], 1, signer, {
      again: async (first) => {
        assertion = first;
        await snapshot.restore();
      },
    });
    expect(assertion.map(({ status }) => status)).toEqual([200]);
    expect(replay).toMatchObject([{ status: 401, text: expect.stringContaining('invalid_client') }]);
  });

  it('refuses a pushed request that led to a code', async () => {
    await signIn();
    const request = authorizationRequest(server, application);
    const { request_uri: requestUri } = (await (
      await fetch(`${server.issuer}/oauth/par`, {
        method: 'POST',
        headers: { authorization: basicOf(application) },
        body: new URL(request.url).searchParams,
      })
    ).json()) as { request_uri: string };
    const url = new URL(`${server.issuer}/oauth/authorize`);
    url.search = new URLSearchParams({ client_id: application.clientId, request_uri: requestUri }).toString();
    const snapshot = await takeSnapshot(redis);
    expect(codeOf(await person.open(url.href))).toMatch(/./);
    await snapshot.restore();

    const again = await person.open(url.href);
    expect(again.url.searchParams.has('code')).toBe(false);
    expect(again.url.searchParams.get('error') ?? again.html).toContain('invalid_request_uri');
  });

  it('refuses an approval whose tokens were fetched, and ends its grant', async () => {
    const desk = await registerDesk(server);
    const { auth_req_id: id } = await asked(server, desk, { login_hint: credentials.email, scope: 'openid' });
    await answer(person, await openApprovals(server, person, credentials), 'approve');
    const snapshot = await takeSnapshot(redis);
    const tokens = tokensIn(await answerOf(poll(server, desk, id)));
    await snapshot.restore();

    expect(await answerOf(poll(server, desk, id))).toMatchObject(REFUSED);
    await expectDead([server], desk, tokens);
  });

  it('refuses a DPoP proof that was presented, at the token endpoint and at userinfo', async () => {
    const key = await proofKey();
    const grant = await signIn();
    const ofToken = await proven(server.issuer, key);
    const snapshot = await takeSnapshot(redis);
    const tokens = tokensIn(await answerOf(redeem(server, application, grant, ofToken)));
    await snapshot.restore();
    expect(await answerOf(redeem(server, application, grant, ofToken))).toMatchObject({ status: 400 });

    const bound = tokensIn(
      await answerOf(redeem(server, application, await signIn(), await proven(server.issuer, key))),
    );
    const dpop = await proofAt(`${server.issuer}/oauth/userinfo`, key, bound.access_token);
    const read = (): Promise<Response> =>
      fetch(`${server.issuer}/oauth/userinfo`, {
        headers: { authorization: `DPoP ${bound.access_token}`, dpop },
      });
    const later = await takeSnapshot(redis);
    expect(await read()).toMatchObject({ status: 200 });
    await later.restore();
    const replay = await read();
    expect(replay.status).toBe(401);
    expect(replay.headers.get('www-authenticate')).toMatch(/^DPoP .*error="invalid_dpop_proof"/);
    expect(await replay.json()).toEqual({
      error: 'invalid_dpop_proof',
      error_description: 'DPoP proof JWT Replay detected',
    });
    expect(tokens.token_type).toBe('DPoP');
  });

  const keyOf = async (model: string): Promise<string> => {
    const keys = await redis.keys(`*:${model}:*`);
    const marked = [];
    for (const key of keys) if ((await redis.hget(key, 'final')) === '1') marked.push(key);
    return marked.at(-1) ?? '';
  };
});

function tokensIn({ status, text }: Answer): Tokens {
  if (status !== 200) throw new Error(`no tokens: ${status} ${text}`);
  return JSON.parse(text) as Tokens;
}
