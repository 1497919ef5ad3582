import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { type Application, OPERATOR, registerPerson, type Tokens } from '../application.ts';
import { approve, enterCode, pollDevice, registerDevice, startDevice } from '../devices.ts';
import { createPerson, type Person } from '../person.ts';
import {
  answerOf,
  type Deployment,
  DEPLOYMENTS,
  type DeploymentKind,
  fireAtOnce,
  type RaceSize,
  startDeployment,
  successesAmong,
} from './deployment.ts';
import { expectDead } from './expect-dead.ts';

/** Browsers that hold the same code. */
const BROWSERS = 6;

export function describeDeviceCodes(
  { concurrent, rounds }: RaceSize,
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('device codes in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    let device: Application;
    let credentials: Awaited<ReturnType<typeof registerPerson>>;
    let person: Person;
    beforeAll(async () => {
      deployment = await startDeployment(kind, {
        GATEHOUSE_THROTTLE_USER_CODE_ADDRESS_FREE_FAILURES: '10000',
      });
      // One that may ask about its own tokens.
      device = await registerDevice(deployment.server, { authMethod: 'client_secret_basic' });
      credentials = await registerPerson(deployment.server);
      person = createPerson(deployment.server.issuer);
    }, 120_000);
    afterAll(() => deployment.stop());

    const approved = async (): Promise<string> => {
      const started = await startDevice(deployment.server, device);
      const page = await approve(person, deployment.server, started.user_code, credentials);
      expect(page.html).toContain('Your device is connected');
      return started.device_code;
    };

    it(
      `redeems a code once of ${concurrent} times, and every loser takes what the winner got`,
      async () => {
        let wins = 0;
        for (let round = 0; round < rounds; round += 1) {
          const code = await approved();
          const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
            answerOf(pollDevice(node, device, code)),
          );
          const won = successesAmong(answers, ['invalid_grant']);
          expect(won.length).toBeLessThanOrEqual(1);
          expect(answers).toHaveLength(concurrent);
          for (const { text } of won) {
            wins += 1;
            await expectDead(deployment.nodes, device, JSON.parse(text) as Tokens);
          }
        }
        expect(wins).toBeGreaterThan(0);
      },
      rounds * 30_000,
    );

    it(
      `answers one of ${concurrent} questions at once, and slows the others down`,
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const { device_code: code } = await startDevice(deployment.server, device);
          const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
            answerOf(pollDevice(node, device, code)),
          );
          const told = answers.map(({ text }) => (JSON.parse(text) as { error: string }).error);
          expect(told.filter((error) => error === 'authorization_pending')).toHaveLength(1);
          expect(told.filter((error) => error === 'slow_down')).toHaveLength(concurrent - 1);
        }
      },
      rounds * 30_000,
    );

    it(
      `lets one of ${BROWSERS} browsers confirm a code`,
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const started = await startDevice(deployment.server, device);
          const asked = await Promise.all(
            Array.from({ length: BROWSERS }, async (_, index) => {
              const connectTo = deployment.nodes[index % deployment.nodes.length]!.issuer;
              const browser = createPerson(deployment.server.issuer, { connectTo });
              return { browser, page: await enterCode(browser, deployment.server, started.user_code) };
            }),
          );
          const pages = await Promise.all(
            asked.map(({ browser, page }) => browser.submit(page, { confirm: 'yes' }, '/device')),
          );
          const goingOn = pages.filter(({ html }) => html.includes('name="password"'));
          expect(goingOn).toHaveLength(1);
          for (const page of pages.filter((each) => !goingOn.includes(each))) {
            expect([page.status, page.html]).toEqual([422, expect.stringContaining('already used')]);
          }
        }
      },
      rounds * 30_000,
    );

    it(
      'gives nothing that lives to a device whose person is disabled at that moment',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const other = await registerPerson(deployment.server);
          const started = await startDevice(deployment.server, device);
          await approve(createPerson(deployment.server.issuer), deployment.server, started.user_code, other);
          const [answer] = await Promise.all([
            answerOf(pollDevice(deployment.nodes.at(-1)!, device, started.device_code)),
            deployment.server.subjects.accounts.disable(other.account.id, OPERATOR),
          ]);
          for (const { text } of successesAmong([answer], ['invalid_grant'])) {
            await expectDead(deployment.nodes, device, JSON.parse(text) as Tokens);
          }
        }
      },
      rounds * 30_000,
    );
  });
}
