import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  type Application,
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../application.ts';
import { createPerson, type Person } from '../person.ts';
import {
  answerOf,
  type Deployment,
  DEPLOYMENTS,
  type DeploymentKind,
  type Node,
  startDeployment,
} from './deployment.ts';

const APPLICATIONS = 20;
/** Tokens of this scope end with the session, and only as long as it knows the application: the strictest case. */
const SCOPE = 'openid';

export function describeSessions(
  { rounds }: { rounds: number },
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('one browser session in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    let credentials: { email: string; password: string };
    beforeAll(async () => {
      deployment = await startDeployment(kind);
      credentials = await registerPerson(deployment.server);
    }, 120_000);
    afterAll(() => deployment.stop());

    const nodeAt = (index: number): Node => deployment.nodes[index % deployment.nodes.length]!;

    const openSession = async (): Promise<Person> => {
      const person = createPerson(deployment.server.issuer);
      const application = await registerApplication(deployment.server);
      codeOf(await authorize(person, authorizationRequest(deployment.server, application), credentials));
      return person;
    };

    /** The tabs of one browser, each before its own application's authorization request, on alternating processes. */
    const openTabs = (person: Person, applications: readonly Application[]) =>
      applications.map((application, index) => {
        const tab = createPerson(deployment.server.issuer, { connectTo: nodeAt(index).issuer });
        for (const [key, cookie] of person.cookies) tab.cookies.set(key, cookie);
        const request = authorizationRequest(deployment.server, application, { scope: SCOPE });
        return { application, request, signIn: async () => codeOf(await tab.open(request.url)) };
      });

    const registerTwenty = (): Promise<Application[]> =>
      Promise.all(Array.from({ length: APPLICATIONS }, () => registerApplication(deployment.server)));

    const expectRedeemed = async (tabs: ReturnType<typeof openTabs>, codes: string[]): Promise<void> => {
      const answers = await Promise.all(
        tabs.map(({ application, request }, index) =>
          answerOf(
            redeem(nodeAt(index + 1), application, { code: codes[index]!, verifier: request.verifier }),
          ),
        ),
      );
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
      const refreshed = await Promise.all(
        tabs.map(({ application }, index) => {
          const { refresh_token: token = '' } = JSON.parse(answers[index]!.text) as Tokens;
          return answerOf(refresh(nodeAt(index), application, token));
        }),
      );
      expect(refreshed.filter(({ status }) => status !== 200)).toEqual([]);
    };

    it(
      'signs in at twenty applications at once, and all twenty codes redeem',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const tabs = openTabs(await openSession(), await registerTwenty());
          await expectRedeemed(tabs, await Promise.all(tabs.map(({ signIn }) => signIn())));
        }
      },
      rounds * 30_000,
    );

    it(
      'does so too while the session changes its id',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const person = await openSession();
          const idBefore = sessionId(person);
          const application = await registerApplication(deployment.server);
          const again = authorizationRequest(deployment.server, application, { prompt: 'login' });
          const page = await person.open(again.url);
          const tabs = openTabs(person, await registerTwenty());

          const [visited, ...codes] = await Promise.all([
            person.submit(page, { identifier: credentials.email, password: credentials.password }, '/login'),
            ...tabs.map(({ signIn }) => signIn()),
          ]);

          expect(sessionId(person)).not.toBe(idBefore);
          await expectRedeemed(tabs, codes);
          const redeemed = await redeem(deployment.server, application, {
            code: codeOf(visited),
            verifier: again.verifier,
          });
          expect(redeemed.status).toBe(200);
        }
      },
      rounds * 30_000,
    );
  });
}

function sessionId({ cookies }: Person): string | undefined {
  return [...cookies].find(([key]) => key.startsWith('gatehouse-session;'))?.[1].value;
}
