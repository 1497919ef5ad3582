import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generateSync } from 'otplib';

import {
  type Application,
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
} from '../application.ts';
import { createPerson, type Person, type Visited } from '../person.ts';
import {
  type Deployment,
  DEPLOYMENTS,
  type DeploymentKind,
  type RaceSize,
  startDeployment,
} from './deployment.ts';

/** Guesses are not what is raced here. */
const PATIENT = { GATEHOUSE_THROTTLE_ACCOUNT_FREE_FAILURES: '1000' };

/** A browser that stands before the page of the second factor. */
interface Browser {
  person: Person;
  page: Visited;
  verifier: string;
}

export function describeFactors(
  { concurrent, rounds }: RaceSize,
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('interactions in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    let application: Application;
    let enrolled: Awaited<ReturnType<typeof enrol>>;
    let browsers: Browser[];
    beforeAll(async () => {
      deployment = await startDeployment(kind, PATIENT);
      application = await registerApplication(deployment.server);
      enrolled = await enrol(deployment);
      browsers = [];
      // One after the other: it is not the hashing pool that is tried here.
      while (browsers.length < concurrent) browsers.push(await atSecondFactor(browsers.length));
    }, 180_000);
    afterAll(() => deployment.stop());

    const atSecondFactor = async (index: number): Promise<Browser> => {
      const { nodes, server } = deployment;
      const person = createPerson(server.issuer, { connectTo: nodes[index % nodes.length]!.issuer });
      const request = authorizationRequest(server, application);
      const page = await authorize(person, request, enrolled.credentials);
      if (!page.html.includes('/totp?')) throw new Error(`not at the second factor:\n${page.html}`);
      return { person, page, verifier: request.verifier };
    };

    /** All at once with the same code; whoever passes is replaced by a newcomer. @returns how many passed */
    const submitAtOnce = async (code: string, action: string): Promise<number> => {
      const visited = await Promise.all(
        browsers.map(({ person, page }) => person.submit(page, { code }, action)),
      );
      expect(visited.filter(({ status }) => status >= 500)).toEqual([]);
      let passed = 0;
      for (const [index, after] of visited.entries()) {
        const { person, verifier } = browsers[index]!;
        if (after.isAway) {
          passed += 1;
          const redeemed = await redeem(deployment.server, application, { code: codeOf(after), verifier });
          expect(redeemed.status).toBe(200);
          browsers[index] = await atSecondFactor(index);
        } else {
          expect(after.status).toBe(422);
          browsers[index] = { person, page: after, verifier };
        }
      }
      return passed;
    };

    it(
      `lets one of ${concurrent} browsers pass by the same TOTP code`,
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          // The step of now is fresh again, so that a round need not take half a minute.
          await deployment.server.database.db.query(
            'update totp set last_step = null where account_id = $1',
            [enrolled.accountId],
          );
          const code = generateSync({ secret: enrolled.secret });
          expect(await submitAtOnce(code, '/totp')).toBe(1);
        }
      },
      rounds * 60_000,
    );

    it(
      `lets one of ${concurrent} browsers pass by the same recovery code`,
      async () => {
        const { accountId } = enrolled;
        for (let round = 0; round < rounds; round += 1) {
          const [code = ''] = await deployment.server.subjects.factors.regenerateRecoveryCodes(
            accountId,
            OPERATOR,
          );
          for (const browser of browsers) {
            const { page, person } = browser;
            const [, link = ''] = /href="([^"]*\/recovery-code\b[^"]*)"/.exec(page.html) ?? [];
            if (link) browser.page = await person.open(new URL(link, page.url).href);
          }
          expect(await submitAtOnce(code, '/recovery-code')).toBe(1);
        }
      },
      rounds * 60_000,
    );
  });
}

async function enrol({ server }: Deployment) {
  const { account, ...credentials } = await registerPerson(server);
  const { factors } = server.subjects;
  const { secret } = await factors.beginTotpEnrolment(account.id);
  const result = await factors.confirmTotp({ accountId: account.id, code: generateSync({ secret }) });
  if (result.kind !== 'ok') throw new Error(`enrolment: ${result.kind}`);
  return { accountId: account.id, credentials, secret };
}
