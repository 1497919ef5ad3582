/** Whatever ends a person's or an application's access is raced with what is being issued at that moment. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { endEverything } from '../../../src/accounts/end-sessions.ts';
import {
  type Application,
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../application.ts';
import { createPerson, type Person } from '../person.ts';
import {
  type Answer,
  answerOf,
  type Deployment,
  DEPLOYMENTS,
  type DeploymentKind,
  fireAtOnce,
  type Node,
  startDeployment,
  successesAmong,
} from './deployment.ts';
import { expectDead } from './expect-dead.ts';

/** Applications of one session: some refresh, again and again, the others redeem their code. */
const REFRESHING = 4;
const REDEEMING = 4;
const REFRESHES = 4;
/** The end comes at any time while that is under way. */
const LATEST_END_MS = 60;
const KNOWN_EVERYWHERE_MS = 1_000;

interface Issued {
  application: Application;
  tokens: Tokens;
}

export function describeRevocations(
  { rounds }: { rounds: number },
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('access in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    beforeAll(async () => {
      deployment = await startDeployment(kind);
    }, 120_000);
    afterAll(() => deployment.stop());

    const nodeAt = (index: number): Node => deployment.nodes[index % deployment.nodes.length]!;

    const signIn = async (person: Person, credentials: Credentials, scope: string) => {
      const application = await registerApplication(deployment.server);
      const request = authorizationRequest(deployment.server, application, { scope });
      const code = codeOf(await authorize(person, request, credentials));
      return { application, code, verifier: request.verifier };
    };

    const keep = (issued: Issued[], application: Application, answer: Answer): Tokens | undefined => {
      if (successesAmong([answer], ['invalid_grant']).length === 0) return undefined;
      const tokens = JSON.parse(answer.text) as Tokens;
      issued.push({ application, tokens });
      return tokens;
    };

    /** @returns everything that was issued, before, during and after the end */
    const issueWhile = async (
      scope: string,
      end: (subject: Subject) => Promise<unknown>,
    ): Promise<Issued[]> => {
      const { account, ...credentials } = await registerPerson(deployment.server);
      const person = createPerson(deployment.server.issuer);
      const issued: Issued[] = [];
      const first: Issued[] = [];
      for (let index = 0; index < REFRESHING; index += 1) {
        const { application, ...grant } = await signIn(person, credentials, scope);
        const tokens = keep(issued, application, await answerOf(redeem(nodeAt(index), application, grant)));
        first.push({ application, tokens: tokens! });
      }
      const grants = [];
      for (let index = 0; index < REDEEMING; index += 1)
        grants.push(await signIn(person, credentials, scope));

      const refreshing = first.map(async ({ application, tokens }, index) => {
        let latest: Tokens | undefined = tokens;
        for (let turn = 0; turn < REFRESHES && latest; turn += 1) {
          const answer = await answerOf(refresh(nodeAt(index + turn), application, latest.refresh_token!));
          latest = keep(issued, application, answer);
        }
      });
      const redeeming = grants.map(async ({ application, ...grant }, index) => {
        await delay(Math.random() * LATEST_END_MS);
        keep(issued, application, await answerOf(redeem(nodeAt(index), application, grant)));
      });
      const ending = delay(Math.random() * LATEST_END_MS).then(() => end({ account, person, credentials }));
      await Promise.all([...refreshing, ...redeeming, ending]);
      return issued;
    };

    const expectAllDead = async (issued: readonly Issued[]): Promise<void> => {
      const deadline = Date.now() + KNOWN_EVERYWHERE_MS;
      await Promise.all(
        issued.map(({ application, tokens }) => expectDead(deployment.nodes, application, tokens, deadline)),
      );
    };

    it(
      'leaves nothing alive of an account that is disabled while tokens are issued',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const issued = await issueWhile('openid offline_access', ({ account }) =>
            deployment.server.subjects.accounts.disable(account.id, OPERATOR),
          );
          await expectAllDead(issued);
        }
      },
      rounds * 30_000,
    );

    it('leaves nothing alive of what was issued before the revocation was visible, though it is younger', async () => {
      const { account, ...credentials } = await registerPerson(deployment.server);
      const person = createPerson(deployment.server.issuer);
      const first = await signIn(person, credentials, 'openid offline_access');
      const second = await signIn(person, credentials, 'openid offline_access');
      const issued: Issued[] = [];
      const tokens = keep(
        issued,
        first.application,
        await answerOf(redeem(nodeAt(0), first.application, first)),
      )!;
      await deployment.server.database.db.transaction(async (tx) => {
        const now = new Date();
        await endEverything(tx, {
          sub: account.sub,
          reason: 'password_set',
          now,
          longestTokenSeconds: 3600,
        });
        await delay(1_000 - (now.getTime() % 1_000) + 50);
        keep(
          issued,
          first.application,
          await answerOf(refresh(nodeAt(1), first.application, tokens.refresh_token!)),
        );
        keep(issued, second.application, await answerOf(redeem(nodeAt(0), second.application, second)));
      });
      expect(issued).toHaveLength(3);
      await expectAllDead(issued);
    });

    it(
      'leaves nothing alive of a session that is signed out while tokens are issued',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const issued = await issueWhile('openid', ({ person }) => signOut(person, deployment.server));
          await expectAllDead(issued);
        }
      },
      rounds * 30_000,
    );

    it(
      'leaves nothing alive of a refresh token that is revoked while it is used',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          const { account: _account, ...credentials } = await registerPerson(deployment.server);
          const person = createPerson(deployment.server.issuer);
          const { application, ...grant } = await signIn(person, credentials, 'openid offline_access');
          const issued: Issued[] = [];
          const first = keep(issued, application, await answerOf(redeem(nodeAt(0), application, grant)))!;
          const revoking = delay(Math.random() * LATEST_END_MS).then(() =>
            revoke(nodeAt(round), application, first.refresh_token!),
          );
          const answers = await fireAtOnce(deployment.nodes, 10, (node) =>
            answerOf(refresh(node, application, first.refresh_token!)),
          );
          for (const answer of answers) keep(issued, application, answer);
          expect(await revoking).toBe(200);
          await expectAllDead(issued);
        }
      },
      rounds * 30_000,
    );

    it('refuses what was issued before a disabling for good, and signs in anew once enabled', async () => {
      const { accounts } = deployment.server.subjects;
      const { account, ...credentials } = await registerPerson(deployment.server);
      const person = createPerson(deployment.server.issuer);
      const { application, ...grant } = await signIn(person, credentials, 'openid offline_access');
      const before = (await (await redeem(nodeAt(0), application, grant)).json()) as Tokens;

      await accounts.disable(account.id, OPERATOR);
      await expectDead(deployment.nodes, application, before);
      await accounts.enable(account.id, OPERATOR);
      await expectDead(deployment.nodes, application, before);

      const again = await signIn(person, credentials, 'openid offline_access');
      const redeemed = await redeem(nodeAt(0), again.application, again);
      const after = (await redeemed.json()) as Tokens;
      const refreshed = await answerOf(refresh(nodeAt(1), again.application, after.refresh_token!));
      expect([redeemed.status, refreshed.status]).toEqual([200, 200]);
    });
  });
}

interface Credentials {
  email: string;
  password: string;
}

interface Subject {
  account: { id: string };
  person: Person;
  credentials: Credentials;
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}

export async function signOut(person: Person, { issuer }: Node): Promise<void> {
  const page = await person.open(`${issuer}/oauth/logout`);
  const after = await person.submit(page, { logout: 'yes' }, '/oauth/logout');
  expect(after.status).toBe(200);
}

/** RFC 7009 §2.1. @returns the status of the answer */
export async function revoke(node: Node, application: Application, token: string): Promise<number> {
  const response = await fetch(`${node.issuer}/oauth/revoke`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URLSearchParams({ token }),
  });
  return response.status;
}
