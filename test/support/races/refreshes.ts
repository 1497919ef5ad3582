/**
 * Everything that can happen to a refresh token at once: it is used, and used again because an answer was lost, its
 * successors are used, and meanwhile its end comes in one way or another. Whatever the order turns out to be, a token
 * has at most one successor, and once the dust has settled nothing that was issued works.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  type Application,
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../application.ts';
import { proofKey, proven, type ProofKey } from '../dpop.ts';
import { createPerson, type Person } from '../person.ts';
import {
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
import { revoke, signOut } from './revocations.ts';

/** Requests with the same token at once. */
const RETRIES = 6;
/** Each that got an answer goes on with it. */
const GENERATIONS = 3;
const LATEST_END_MS = 60;
const RETRY_WINDOW_SECONDS = 2;
const KNOWN_EVERYWHERE_MS = 1_000;

interface Family {
  application: Application;
  person: Person;
  account: { id: string; sub: string };
  /** Spent, longer ago than the window; only where tokens rotate. */
  spent?: string;
  current: Tokens;
  key?: ProofKey;
}

type End = (family: Family, node: Node) => Promise<unknown>;

export function describeRefreshes(
  { rounds }: { rounds: number },
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('refreshes in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    beforeAll(async () => {
      deployment = await startDeployment(kind, {
        GATEHOUSE_REFRESH_RETRY_WINDOW_SECONDS: String(RETRY_WINDOW_SECONDS),
      });
    }, 120_000);
    afterAll(() => deployment.stop());

    const proofOf = async ({ key }: Pick<Family, 'key'>): Promise<RequestInit> =>
      key ? proven(deployment.server.issuer, key) : {};

    const signIn = async (isKept: boolean, scope: string): Promise<Family> => {
      const { server } = deployment;
      const application = await registerApplication(
        server,
        isKept ? { dpopBoundAccessTokens: true, rotateRefreshTokens: false } : {},
      );
      const key = isKept ? { key: await proofKey() } : {};
      const { account, ...credentials } = await registerPerson(server);
      const person = createPerson(server.issuer);
      const request = authorizationRequest(server, application, { scope });
      const code = codeOf(await authorize(person, request, credentials));
      const grant = { code, verifier: request.verifier };
      const current = (await (await redeem(server, application, grant, await proofOf(key))).json()) as Tokens;
      return { application, person, account, current, ...key };
    };

    const rotateOnce = async (family: Family): Promise<void> => {
      const spent = family.current.refresh_token!;
      const answer = await refresh(deployment.server, family.application, spent);
      expect(answer.status).toBe(200);
      family.spent = spent;
      family.current = (await answer.json()) as Tokens;
    };

    /** @returns everything that was issued, and the successors that each token was seen to have */
    const useWhile = async (
      family: Family,
      end: End,
    ): Promise<{ issued: Tokens[]; successors: Set<string>[] }> => {
      const issued: Tokens[] = [family.current];
      const successors = new Map<string, Set<string>>();
      const use = async (node: Node, token: string): Promise<Tokens | undefined> => {
        const answer = await answerOf(refresh(node, family.application, token, await proofOf(family)));
        const [won] = successesAmong([answer], ['invalid_grant']);
        if (!won) return undefined;
        const tokens = JSON.parse(won.text) as Tokens;
        issued.push(tokens);
        const known = successors.get(token) ?? new Set();
        successors.set(token, known.add(tokens.refresh_token!));
        return tokens;
      };
      const using = fireAtOnce(deployment.nodes, RETRIES, async (node) => {
        let token = family.current.refresh_token;
        for (let generation = 0; generation < GENERATIONS && token !== undefined; generation += 1) {
          token = (await use(node, token))?.refresh_token;
        }
      });
      const node = deployment.nodes.at(-1)!;
      const ending = delay(Math.random() * LATEST_END_MS).then(() => end(family, node));
      await Promise.all([using, ending]);
      return { issued, successors: [...successors.values()] };
    };

    const withdraw = ({ account, application }: Pick<Family, 'account' | 'application'>): Promise<void> =>
      deployment.server.subjects.consents.withdraw(account, application.clientId, OPERATOR);

    const ENDS: [string, 'openid' | 'openid offline_access', End][] = [
      [
        'it is revoked',
        'openid offline_access',
        async ({ application, current }, node) =>
          expect(await revoke(node, application, current.refresh_token!)).toBe(200),
      ],
      ['the person signs out', 'openid', ({ person }) => signOut(person, deployment.server)],
      [
        'the account is disabled',
        'openid offline_access',
        ({ account }) => deployment.server.subjects.accounts.disable(account.id, OPERATOR),
      ],
      ['the consent is withdrawn', 'openid offline_access', (family) => withdraw(family)],
      [
        'all of that happens at once',
        'openid',
        ({ application, current, person, account }, node) =>
          Promise.all([
            revoke(node, application, current.refresh_token!),
            withdraw({ application, account }),
            // Whose account was disabled a moment ago is signed out already, and has no page to say so on.
            signOut(person, deployment.server).catch(() => undefined),
            deployment.server.subjects.accounts.disable(account.id, OPERATOR),
          ]),
      ],
    ];

    const race = async (families: Family[], end: End): Promise<void> => {
      for (const family of families) {
        const { issued, successors } = await useWhile(family, end);
        for (const ofOne of successors) expect(ofOne.size).toBe(1);
        if (family.key)
          for (const tokens of issued) expect(tokens.refresh_token).toBe(family.current.refresh_token);
        const deadline = Date.now() + KNOWN_EVERYWHERE_MS;
        for (const tokens of distinct(issued))
          await expectDead(deployment.nodes, family.application, tokens, deadline, () => proofOf(family));
      }
    };
    const families = async (isKept: boolean, scope: string): Promise<Family[]> => {
      const made: Family[] = [];
      for (let round = 0; round < rounds; round += 1) made.push(await signIn(isKept, scope));
      return made;
    };

    describe.each([
      ['that rotates', false],
      ['that is kept', true],
    ])('a token %s', (_name, isKept) => {
      it.each(ENDS)(
        'has one successor at most while %s, and nothing outlives that',
        async (_end, scope, end) => race(await families(isKept, scope), end),
        rounds * 30_000,
      );
    });

    it(
      'has one successor at most while the one before it comes again, and nothing outlives that',
      async () => {
        const made = await families(false, 'openid offline_access');
        for (const family of made) await rotateOnce(family);
        await delay(RETRY_WINDOW_SECONDS * 1_000 + 100);
        await race(made, async ({ application, spent }, node) => {
          const replay = await answerOf(refresh(node, application, spent!));
          expect(replay).toMatchObject({ status: 400, text: expect.stringContaining('invalid_grant') });
        });
      },
      rounds * 30_000,
    );
  });
}

/** A retry gets the very same. */
function distinct(issued: readonly Tokens[]): Tokens[] {
  return [...new Map(issued.map((tokens) => [tokens.access_token, tokens])).values()];
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
