/**
 * A process dies between the moment its record became durable and the moment its answer left. The client has nothing
 * and comes back with the same refresh token: it gets what was recorded, once its mark has lapsed.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { keepAnswer } from '../../../src/oidc/refresh-answers.ts';
import type { OidcStore } from '../../../src/oidc/store/port.ts';
import { digest, uuidv7 } from '../../../src/platform/ids.ts';
import {
  type Application,
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  signedIn,
} from '../../support/application.ts';
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { answerOf, fireAtOnce } from '../../support/races/deployment.ts';
import { expectDead } from '../../support/races/expect-dead.ts';

const RETRY_WINDOW_SECONDS = 30;
const RECORDED = { access_token: 'at_recorded', refresh_token: 'rt_recorded', token_type: 'Bearer' };

describe.each<StoreKind>(['redis', 'postgres'])('a process that died, with tokens in %s', (kind) => {
  let server: TestServer;
  let store: OidcStore;
  let clock: ShiftedClock;
  beforeAll(async () => {
    clock = createShiftedClock();
    server = await startGatehouse({
      store: kind,
      clock,
      decorateStore: (given) => {
        store = given;
        return given;
      },
    });
  }, 60_000);
  afterAll(() => server.stop());

  /** Its mark is pending, and lapses at once. */
  const spendAndDie = async (model: 'RefreshToken' | 'AuthorizationCode', id: string): Promise<string> => {
    const spender = uuidv7();
    expect(await store.spend(model, id, { spender, leaseSeconds: 0 })).toEqual({ kind: 'won' });
    return spender;
  };

  /** Its flush is durable; that it was, it never told anybody. */
  const recordSpending = (model: string, id: string, spender: string) =>
    server.database.db.query(
      `insert into spent (digest, kind, spend_id, writer_id, flush, created_at, expires_at)
       values ($1, $2, $3, $4, 1, now() - interval '20 seconds', now() + interval '1 day')`,
      [digest(model, id), model, spender, uuidv7()],
    );

  const keepRecorded = (refreshToken: string, spender: string) =>
    keepAnswer(
      store,
      { refreshToken, spender },
      { answer: RECORDED, retryWindowSeconds: RETRY_WINDOW_SECONDS },
    );

  const refreshAtOnce = (application: Application, token: string) =>
    fireAtOnce([server], 20, () => answerOf(refresh(server, application, token)));

  it('leaves its recorded answer to everybody who retries, until the window closes', async () => {
    const { application, tokens } = await signedIn(server);
    const token = tokens.refresh_token ?? '';
    const spender = await spendAndDie('RefreshToken', token);
    await recordSpending('RefreshToken', token, spender);
    await keepRecorded(token, spender);

    const answers = [
      ...(await refreshAtOnce(application, token)),
      ...(await refreshAtOnce(application, token)),
    ];
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set([JSON.stringify(RECORDED)]));

    clock.advanceSeconds(RETRY_WINDOW_SECONDS + 1);
    expect(await answerOf(refresh(server, application, token))).toMatchObject({ status: 400 });
    await expectDead([server], application, tokens);
  });

  it('leaves the token good where it died before its record was durable', async () => {
    const { application, tokens } = await signedIn(server);
    const token = tokens.refresh_token ?? '';
    const spender = await spendAndDie('RefreshToken', token);
    await keepRecorded(token, spender);

    const answers = await refreshAtOnce(application, token);
    const texts = new Set(answers.map(({ text }) => text));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(texts.size).toBe(1);
    expect(texts).not.toContain(JSON.stringify(RECORDED));
  });

  it('has nothing to leave where the answer is gone: refused, and the family ended', async () => {
    const { application, tokens } = await signedIn(server);
    const token = tokens.refresh_token ?? '';
    await recordSpending('RefreshToken', token, await spendAndDie('RefreshToken', token));

    const answers = await refreshAtOnce(application, token);
    expect(answers.every(({ status }) => status === 400)).toBe(true);
    await expectDead([server], application, tokens);
  });

  it.each(['first', 'second'] as const)(
    'leaves the answer that was recorded where two died one after the other: that of the %s',
    async (which) => {
      const { application, tokens } = await signedIn(server);
      const token = tokens.refresh_token ?? '';
      const first = await spendAndDie('RefreshToken', token);
      const second = uuidv7();
      expect(await store.spend('RefreshToken', token, { spender: second, leaseSeconds: 0 })).toEqual({
        kind: 'won',
        tookOverFrom: first,
      });
      const [recorded, other] = which === 'first' ? [first, second] : [second, first];
      await recordSpending('RefreshToken', token, recorded);
      await keepRecorded(token, recorded);
      await keepAnswer(
        store,
        { refreshToken: token, spender: other },
        { answer: { access_token: 'at_never' }, retryWindowSeconds: RETRY_WINDOW_SECONDS },
      );

      const answers = await refreshAtOnce(application, token);
      expect(new Set(answers.map(({ text }) => text))).toEqual(new Set([JSON.stringify(RECORDED)]));
    },
  );

  it('keeps the answer of a refresh for as long as its mark may be pending', async () => {
    const { application, tokens } = await signedIn(server);
    const token = tokens.refresh_token ?? '';
    const first = await answerOf(refresh(server, application, token));
    clock.advanceSeconds(RETRY_WINDOW_SECONDS - 1);
    expect(await answerOf(refresh(server, application, token))).toEqual(first);
  });

  describe('over a code', () => {
    const signIn = async () => {
      const application = await registerApplication(server);
      const credentials = await registerPerson(server);
      const request = authorizationRequest(server, application);
      const code = codeOf(await authorize(createPerson(server.issuer), request, credentials));
      return { application, grant: { code, verifier: request.verifier } };
    };

    it('leaves it good where its record was not durable yet', async () => {
      const { application, grant } = await signIn();
      await spendAndDie('AuthorizationCode', grant.code);
      expect((await redeem(server, application, grant)).status).toBe(200);
    });

    it('leaves nothing where its record was: what it issued can be had by nobody', async () => {
      const { application, grant } = await signIn();
      await recordSpending(
        'AuthorizationCode',
        grant.code,
        await spendAndDie('AuthorizationCode', grant.code),
      );
      const answers = await fireAtOnce([server], 5, () => answerOf(redeem(server, application, grant)));
      for (const answer of answers)
        expect(answer).toMatchObject({ status: 400, text: expect.stringContaining('invalid_grant') });
    });
  });
});
