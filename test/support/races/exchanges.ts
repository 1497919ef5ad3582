/** Tokens are exchanged (RFC 8693) while what they stand on ends: nothing that was got in exchange outlives it. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { introspect, OPERATOR, tokenRequest, type Tokens } from '../application.ts';
import { type Caller, exchangeOf, type Scene, setScene, signInAtFront } from '../exchange.ts';
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

/** Exchanges at once, and how often each goes on with what it got. */
const EXCHANGES = 6;
const TURNS = 3;
const LATEST_END_MS = 60;

export function describeExchanges(
  { rounds }: { rounds: number },
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('exchanges in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    beforeAll(async () => {
      deployment = await startDeployment(kind);
    }, 120_000);
    afterAll(() => deployment.stop());

    /** @returns all that was got, before, during and after the end */
    const exchangeWhile = async (scene: Scene, caller: Caller, end: () => Promise<unknown>) => {
      const got: Tokens[] = [];
      const exchange = async (node: Node, token: string): Promise<string | undefined> => {
        const answer = await answerOf(
          tokenRequest(node, scene.service, exchangeOf(token, scene.vault.identifier)),
        );
        const [won] = successesAmong([answer], ['invalid_request', 'invalid_grant']);
        if (!won) return undefined;
        const tokens = JSON.parse(won.text) as Tokens;
        got.push(tokens);
        return tokens.access_token;
      };
      const exchanging = fireAtOnce(deployment.nodes, EXCHANGES, async (node) => {
        let token: string | undefined = caller.tokens.access_token;
        for (let turn = 0; turn < TURNS && token !== undefined; turn += 1)
          token = await exchange(node, token);
      });
      const ending = new Promise((resolve) => setTimeout(resolve, Math.random() * LATEST_END_MS)).then(end);
      await Promise.all([exchanging, ending]);
      return got;
    };

    it.each<[string, (caller: Caller, node: Node) => Promise<unknown>]>([
      ['the person signs out', ({ person }) => signOut(person, deployment.server)],
      [
        'the account is disabled',
        ({ credentials }) => deployment.server.subjects.accounts.disable(credentials.account.id, OPERATOR),
      ],
      [
        'the grant is revoked',
        ({ application, tokens }, node) => revoke(node, application, tokens.refresh_token!),
      ],
      [
        'the token that was presented first is revoked',
        ({ application, tokens }, node) => revoke(node, application, tokens.access_token),
      ],
    ])(
      'leave nothing alive when %s',
      async (_name, end) => {
        for (let round = 0; round < rounds; round += 1) {
          const format = round % 2 === 0 ? 'jwt' : 'opaque';
          const scene = await setScene(deployment.server, {
            ledger: { accessTokenFormat: format },
            vault: { accessTokenFormat: format },
          });
          const caller = await signInAtFront(deployment.server, scene);
          const got = await exchangeWhile(scene, caller, () => end(caller, deployment.nodes.at(-1)!));
          const deadline = Date.now() + 1_000;
          for (const tokens of got) await expectDead(deployment.nodes, scene.service, tokens, deadline);
          for (const node of deployment.nodes)
            expect(await introspect(node, scene.service, caller.tokens.access_token)).toEqual({
              active: false,
            });
        }
      },
      rounds * 30_000,
    );
  });
}
