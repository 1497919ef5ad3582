/**
 * The races of this folder on a store that spends by find-then-set (racy-store.ts). With PostgreSQL's judge there is
 * still one successor at most; without it the suite's own counting has to notice, or it proves nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../application.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../gatehouse.ts';
import { createPerson } from '../person.ts';
import { makeRacy } from '../racy-store.ts';
import { answerOf, fireAtOnce, type RaceSize, successesAmong } from './deployment.ts';
import { presentAssertion, registerSigner } from './proofs.ts';

/** In so many one at least is a race. */
const TRIALS = 20;

export function describeFindThenSet({ concurrent, rounds }: RaceSize): void {
  describe.each<StoreKind>(['redis', 'postgres'])('spending by find-then-set in %s', (store) => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startGatehouse({ store, decorateStore: makeRacy });
    }, 60_000);
    afterAll(() => server.stop());

    const signIn = async () => {
      const application = await registerApplication(server);
      const credentials = await registerPerson(server);
      const request = authorizationRequest(server, application);
      const code = codeOf(await authorize(createPerson(server.issuer), request, credentials));
      return { application, code, verifier: request.verifier };
    };

    /** Each fires one race. @returns how many different things were given out */
    const races: Record<string, () => Promise<number>> = {
      'a code': async () => {
        const { application, ...grant } = await signIn();
        return raceFor(['invalid_grant'], () => redeem(server, application, grant));
      },
      'a refresh token': async () => {
        const { application, ...grant } = await signIn();
        const tokens = (await (await redeem(server, application, grant)).json()) as Tokens;
        return raceFor(['invalid_grant'], () => refresh(server, application, tokens.refresh_token!));
      },
      'a client assertion': async () => {
        const answers = await presentAssertion([server], concurrent, await registerSigner(server));
        return distinct(successesAmong(answers, ['invalid_client']));
      },
    };

    const raceFor = async (refusals: string[], send: () => Promise<Response>): Promise<number> =>
      distinct(successesAmong(await fireAtOnce([server], concurrent, () => answerOf(send())), refusals));

    /** @param enough no round follows one that gave out so many */
    const mostOf = async (
      race: () => Promise<number>,
      { times = rounds, enough = Infinity } = {},
    ): Promise<number> => {
      let most = 0;
      for (let round = 0; round < times && most < enough; round += 1) most = Math.max(most, await race());
      return most;
    };

    describe('with the judge', () => {
      it.each(Object.keys(races))(
        'gives %s one successor',
        async (what) => expect(await mostOf(races[what]!)).toBe(1),
        rounds * 30_000,
      );
    });

    describe('without the judge', () => {
      // Rows that say what was spent are dropped on their way in: PostgreSQL knows of nothing.
      beforeAll(() =>
        server.database.db.query(
          `create function forget() returns trigger language plpgsql as 'begin return null; end';
           create trigger forget before insert on spent for each row execute function forget()`,
        ),
      );

      it.each(Object.keys(races))(
        'gives %s several successors, and the suite notices',
        async (what) => {
          // On a busy machine a race may be run one after the other.
          const most = await mostOf(races[what]!, { times: TRIALS, enough: 2 });
          expect(most).toBeGreaterThan(1);
        },
        TRIALS * 15_000,
      );
    });
  });
}

function distinct(answers: readonly { text: string }[]): number {
  return new Set(answers.map(({ text }) => text)).size;
}
