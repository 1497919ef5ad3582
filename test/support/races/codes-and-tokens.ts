import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

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
} from '../application.ts';
import { createPerson, type Person } from '../person.ts';
import {
  answerOf,
  type Deployment,
  DEPLOYMENTS,
  type DeploymentKind,
  fireAtOnce,
  type Node,
  type RaceSize,
  startDeployment,
  successesAmong,
} from './deployment.ts';
import { expectDead } from './expect-dead.ts';

/** What the test profile gives a client to come back for the answer that it lost. */
const RETRY_WINDOW_SECONDS = 30;

export function describeCodesAndTokens(
  { concurrent, rounds }: RaceSize,
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('sessions in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    let person: Person;
    let credentials: { email: string; password: string };
    beforeAll(async () => {
      deployment = await startDeployment(kind);
      credentials = await registerPerson(deployment.server);
      person = createPerson(deployment.server.issuer);
    }, 120_000);
    afterAll(() => deployment.stop());

    const signIn = async (
      application: Application,
    ): Promise<{ code: string; verifier: string; application: Application }> => {
      const request = authorizationRequest(deployment.server, application);
      const code = codeOf(await authorize(person, request, credentials));
      return { code, verifier: request.verifier, application };
    };

    const tokensOf = async (application: Application): Promise<Tokens> => {
      const response = await redeem(deployment.server, application, await signIn(application));
      return (await response.json()) as Tokens;
    };

    it(
      `redeems a code once of ${concurrent} times, and every loser takes what the winner got`,
      async () => {
        let wins = 0;
        for (let round = 0; round < rounds; round += 1) {
          const application = await registerApplication(deployment.server);
          const grant = await signIn(application);
          const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
            answerOf(redeem(node, application, grant)),
          );
          const won = successesAmong(answers, ['invalid_grant']);
          expect(won.length).toBeLessThanOrEqual(1);
          expect(answers).toHaveLength(concurrent);
          for (const { text } of won) {
            wins += 1;
            await expectDead(deployment.nodes, application, JSON.parse(text) as Tokens);
          }
        }
        expect(wins).toBeGreaterThan(0);
      },
      rounds * 30_000,
    );

    it(
      `gives ${concurrent} refreshes by one token one successor, and ends the family when it comes back later`,
      async () => {
        const families: { application: Application; first: string; successor: Tokens }[] = [];
        for (let round = 0; round < rounds; round += 1) {
          const application = await registerApplication(deployment.server);
          const { refresh_token: first = '' } = await tokensOf(application);
          const answers = await fireAtOnce(deployment.nodes, concurrent, (node) =>
            answerOf(refresh(node, application, first)),
          );
          const bodies = new Set(successesAmong(answers, ['invalid_grant']).map(({ text }) => text));
          expect(bodies.size).toBe(1);
          families.push({ application, first, successor: JSON.parse([...bodies][0]!) as Tokens });
        }
        for (const family of families) {
          const { application, successor } = family;
          for (const node of deployment.nodes)
            expect(await introspect(node, application, successor.access_token)).toMatchObject({
              active: true,
            });
          const next = await answerOf(
            refresh(deployment.nodes.at(-1)!, application, successor.refresh_token!),
          );
          expect(next.status).toBe(200);
          family.successor = JSON.parse(next.text) as Tokens;
        }

        deployment.clock.advanceSeconds(RETRY_WINDOW_SECONDS + 1);
        for (const { application, first, successor } of families) {
          const replay = await answerOf(refresh(deployment.server, application, first));
          expect(replay).toMatchObject({ status: 400, text: expect.stringContaining('invalid_grant') });
          await expectDead(deployment.nodes, application, successor);
        }
      },
      rounds * 30_000,
    );

    it(
      `lets a pushed request lead to one code of ${concurrent}`,
      async () => {
        const application = await registerApplication(deployment.server);
        await signIn(application);
        const browsers = deployment.nodes.map(({ issuer }) => sameBrowser(person, deployment.server, issuer));
        let codes = 0;
        for (let round = 0; round < rounds; round += 1) {
          const url = await push(deployment.server, application);
          const answers = await fireAtOnce(deployment.nodes, concurrent, async (node) => {
            const browser = browsers[deployment.nodes.indexOf(node)]!;
            const response = await browser.request(url);
            await response.text();
            return { status: response.status, location: response.headers.get('location') ?? '' };
          });
          expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
          const won = answers.filter(({ location }) => new URL(location, url).searchParams.has('code'));
          expect(won.length).toBeLessThanOrEqual(1);
          codes += won.length;
        }
        expect(codes).toBe(rounds);
      },
      rounds * 30_000,
    );
  });
}

/** The same cookies, sent to another process. */
function sameBrowser(person: Person, { issuer }: Node, connectTo: string): Person {
  const browser = createPerson(issuer, { connectTo });
  for (const [key, cookie] of person.cookies) browser.cookies.set(key, cookie);
  return browser;
}

/** RFC 9126 §2.1: the URL to open for a request that was pushed. */
async function push(server: Node, application: Application): Promise<string> {
  const request = authorizationRequest(server, application);
  const response = await fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: basicOf(application),
    },
    body: new URL(request.url).search.slice(1),
  });
  const { request_uri: requestUri } = (await response.json()) as { request_uri: string };
  expect(response.status).toBe(201);
  const url = new URL(`${server.issuer}/oauth/authorize`);
  url.search = new URLSearchParams({ client_id: application.clientId, request_uri: requestUri }).toString();
  return url.href;
}
