import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { type Application, registerPerson, type Tokens } from '../application.ts';
import { answer, ask, asked, openApprovals, poll, registerDesk } from '../ciba.ts';
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

const WAITING_PER_CLIENT = 3;

export function describeApprovals(
  { concurrent, rounds }: RaceSize,
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('requests in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    beforeAll(async () => {
      deployment = await startDeployment(kind);
    }, 120_000);
    afterAll(() => deployment.stop());

    const newcomer = async () => {
      const credentials = await registerPerson(deployment.server);
      const person = createPerson(deployment.server.issuer);
      await openApprovals(deployment.server, person, credentials);
      return { credentials, person };
    };

    const askOnce = async (application: Application, email: string): Promise<string> => {
      const parameters = { login_hint: email, scope: 'openid offline_access' };
      return (await asked(deployment.server, application, parameters)).auth_req_id;
    };

    const decisionsOf = async (accountId: string): Promise<string[]> => {
      const { rows } = await deployment.server.database.db.query<{ type: string }>(
        `select type from audit_events where account_id = $1 and type in ('approval.approved', 'approval.denied')`,
        [accountId],
      );
      return rows.map(({ type }) => type);
    };

    /** The same form to each process in turn: a browser knows one issuer only. */
    const answerAt = (person: Person, action: string, decision: string, index: number): Promise<Response> => {
      const node = deployment.nodes[index % deployment.nodes.length]!;
      const cookie = [...person.cookies]
        .map(([key, { value }]) => `${key.split(';')[0]}=${value}`)
        .join('; ');
      return fetch(new URL(action, node.issuer), {
        method: 'POST',
        redirect: 'manual',
        headers: { 'content-type': 'application/x-www-form-urlencoded', cookie },
        body: new URLSearchParams({ decision }),
      });
    };

    it(
      `gives tokens once of ${concurrent} questions after an approval, and every loser takes them`,
      async () => {
        let wins = 0;
        for (let round = 0; round < rounds; round += 1) {
          const application = await registerDesk(deployment.server);
          const { credentials, person } = await newcomer();
          const id = await askOnce(application, credentials.email);
          await answer(person, await openApprovals(deployment.server, person), 'approve');
          const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
            answerOf(poll(node, application, id)),
          );
          const won = successesAmong(answers, ['invalid_grant']);
          expect(won.length).toBeLessThanOrEqual(1);
          for (const { text } of won) {
            wins += 1;
            await expectDead(deployment.nodes, application, JSON.parse(text) as Tokens);
          }
        }
        expect(wins).toBeGreaterThan(0);
      },
      rounds * 30_000,
    );

    it(`looks at one of ${concurrent} questions while nobody has answered`, async () => {
      const application = await registerDesk(deployment.server);
      const { credentials } = await newcomer();
      const id = await askOnce(application, credentials.email);
      const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
        answerOf(poll(node, application, id)),
      );
      expect(successesAmong(answers, ['authorization_pending', 'slow_down'])).toEqual([]);
      expect(answers.filter(({ text }) => text.includes('authorization_pending'))).toHaveLength(1);
    }, 30_000);

    it(
      'is decided once, however often a person approves and declines at the same moment',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const application = await registerDesk(deployment.server);
          const { credentials, person } = await newcomer();
          const id = await askOnce(application, credentials.email);
          const page = await openApprovals(deployment.server, person);
          const action = /action="([^"]*account\/approvals\/[^"]*)"/.exec(page.html)?.[1] ?? '';
          const answers = await Promise.all(
            Array.from({ length: 8 }, (_, index) =>
              answerAt(person, action, index % 2 === 0 ? 'approve' : 'deny', index >> 1),
            ),
          );
          expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 303));
          const decisions = await decisionsOf(credentials.account.id);
          expect(decisions).toHaveLength(1);
          const { status, text } = await answerOf(poll(deployment.nodes.at(-1)!, application, id));
          if (decisions[0] === 'approval.approved') expect(status).toBe(200);
          else expect(text).toContain('access_denied');
        }
      },
      rounds * 30_000,
    );

    it(`lets no more than ${WAITING_PER_CLIENT} of ${concurrent} requests through to a person`, async () => {
      const application = await registerDesk(deployment.server);
      const { credentials } = await newcomer();
      const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
        answerOf(ask(node, application, { login_hint: credentials.email })),
      );
      expect(successesAmong(answers, ['access_denied'])).toHaveLength(WAITING_PER_CLIENT);
    }, 30_000);
  });
}
