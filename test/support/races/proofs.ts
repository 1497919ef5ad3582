import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

import { randomToken } from '../../../src/platform/ids.ts';
import { DEVICE_CODE_GRANT } from '../../../src/clients/client.ts';
import type { NewClient } from '../../../src/clients/service.ts';
import {
  type Application,
  authorizationRequest,
  basicOf,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
  signedIn,
  tokenRequest,
  type Tokens,
} from '../application.ts';
import { CIBA } from '../ciba.ts';
import { proofAt, proofKey, proven } from '../dpop.ts';
import { exchangeOf, setScene, signInAtFront } from '../exchange.ts';
import type { TestServer } from '../gatehouse.ts';
import {
  type Answer,
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

type Key = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

export function describeProofs(
  { concurrent, rounds }: RaceSize,
  deployments: readonly DeploymentKind[] = DEPLOYMENTS,
): void {
  describe.each(deployments)('marks in $store, $processes process(es)', (kind) => {
    let deployment: Deployment;
    beforeAll(async () => {
      deployment = await startDeployment(kind);
    }, 120_000);
    afterAll(() => deployment.stop());

    it(
      `takes a client assertion once of ${concurrent} times`,
      async () => {
        const signer = await registerSigner(deployment.server);
        for (let round = 0; round < rounds; round += 1) {
          const answers = await presentAssertion(deployment.nodes, concurrent, signer);
          expect(successesAmong(answers, ['invalid_client'])).toHaveLength(1);
        }
      },
      rounds * 30_000,
    );

    it.each([
      ['/oauth/par', { response_type: 'code', redirect_uri: 'https://app.example/callback' }],
      ['/oauth/introspect', { token: 'x' }],
      ['/oauth/revoke', { token: 'x' }],
      ['/oauth/device_authorization', { scope: 'openid' }],
      ['/oauth/backchannel', { scope: 'openid' }],
    ] as [string, Record<string, string>][])(
      `takes a client assertion once of ${concurrent} times at %s`,
      async (path, form) => {
        const signer = await registerSigner(deployment.server, {
          kind: 'web',
          grantTypes: ['authorization_code', DEVICE_CODE_GRANT, CIBA],
          redirectUris: ['https://app.example/callback'],
          requirePkce: false,
        });
        const { email } = await registerPerson(deployment.server);
        const answers = await presentAssertion(deployment.nodes, concurrent, signer, {
          path,
          form: path === '/oauth/backchannel' ? { ...form, login_hint: email } : form,
        });
        const won = answers.filter(({ status }) => status === 200 || status === 201);
        expect(won).toHaveLength(1);
        const lost = answers.filter((answer) => !won.includes(answer));
        expect(new Set(lost.map(({ status, text }) => `${status} ${errorIn(text)}`))).toEqual(
          new Set(['401 invalid_client']),
        );
      },
      60_000,
    );

    it(`takes a DPoP proof once of ${concurrent} times at userinfo`, async () => {
      const key = await proofKey();
      const { server, nodes } = deployment;
      const { application, person } = await signedIn(server);
      const request = authorizationRequest(server, application, { scope: 'openid' });
      const code = codeOf(await person.open(request.url));
      const grant = { code, verifier: request.verifier };
      const bound = (await (
        await redeem(server, application, grant, await proven(server.issuer, key))
      ).json()) as Tokens;
      const dpop = await proofAt(`${server.issuer}/oauth/userinfo`, key, bound.access_token);
      const answers = await fireAtOnce(nodes, concurrent, (node) =>
        answerOf(
          fetch(`${node.issuer}/oauth/userinfo`, {
            headers: { authorization: `DPoP ${bound.access_token}`, dpop },
          }),
        ),
      );
      const statuses = answers.map(({ status }) => status).toSorted((one, other) => one - other);
      expect(statuses).toEqual([200, ...Array.from({ length: concurrent - 1 }, () => 401)]);
    }, 60_000);

    it(
      `takes a DPoP proof once of ${concurrent} times`,
      async () => {
        const application = await registerMachine(deployment.server);
        for (let round = 0; round < rounds; round += 1) {
          const answers = await presentProof(deployment.nodes, concurrent, (node, init) =>
            tokenRequest(node, application, { grant_type: 'client_credentials' }, init),
          );
          expect(successesAmong(answers, ['invalid_dpop_proof', 'invalid_grant'])).toHaveLength(1);
        }
      },
      rounds * 30_000,
    );

    it(`takes a DPoP proof once of ${concurrent} times at an exchange`, async () => {
      const scene = await setScene(deployment.server);
      const { tokens } = await signInAtFront(deployment.server, scene);
      const exchange = exchangeOf(tokens.access_token, scene.vault.identifier);
      const answers = await presentProof(deployment.nodes, concurrent, (node, init) =>
        tokenRequest(node, scene.service, exchange, init),
      );
      expect(successesAmong(answers, ['invalid_grant'])).toHaveLength(1);
    }, 60_000);

    it(`takes a DPoP proof once of ${concurrent} times at /oauth/par`, async () => {
      const { server, nodes } = deployment;
      const application = await registerApplication(server);
      const body = new URL(authorizationRequest(server, application).url).searchParams;
      const answers = await presentProof(
        nodes,
        concurrent,
        ({ issuer }, { headers }) =>
          fetch(`${issuer}/oauth/par`, {
            method: 'POST',
            headers: { ...headers, authorization: basicOf(application) },
            body,
          }),
        '/oauth/par',
      );
      const won = answers.filter(({ status }) => status === 201);
      expect(won).toHaveLength(1);
      const lost = answers.filter((answer) => !won.includes(answer));
      expect(new Set(lost.map(({ status, text }) => `${status} ${errorIn(text)}`))).toEqual(
        new Set(['400 invalid_request']),
      );
    }, 60_000);
  });
}

export interface Signer {
  clientId: string;
  key: Key;
  issuer: string;
}

/** A machine that proves itself by `private_key_jwt` (RFC 7523 §2.2). */
export async function registerSigner(server: TestServer, input: Partial<NewClient> = {}): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk: JWK = { ...(await exportJWK(publicKey)), kid: 'signer', alg: 'ES256', use: 'sig' };
  const { client } = await server.subjects.clients.create(
    {
      name: 'Signer',
      kind: 'machine',
      authMethod: 'private_key_jwt',
      jwks: { keys: [jwk] },
      grantTypes: ['client_credentials'],
      ...input,
    },
    OPERATOR,
  );
  return { clientId: client.clientId, key: privateKey, issuer: server.issuer };
}

/** One assertion, presented `count` times at once; and where `again` is given, after it once more. */
export async function presentAssertion(
  nodes: readonly Node[],
  count: number,
  { clientId, key, issuer }: Signer,
  {
    again,
    path = '/oauth/token',
    form = { grant_type: 'client_credentials' },
  }: { again?: (first: Answer[]) => Promise<void>; path?: string; form?: Record<string, string> } = {},
): Promise<Answer[]> {
  const assertion = await new SignJWT({ jti: randomToken() })
    .setProtectedHeader({ alg: 'ES256', kid: 'signer' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(issuer)
    .setIssuedAt()
    .setExpirationTime('1 minute')
    .sign(key);
  const body = {
    ...form,
    client_id: clientId,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  };
  const present = (): Promise<Answer[]> =>
    fireAtOnce(nodes, count, (node) =>
      answerOf(fetch(`${node.issuer}${path}`, { method: 'POST', body: new URLSearchParams(body) })),
    );
  const first = await present();
  if (!again) return first;
  await again(first);
  return present();
}

function errorIn(text: string): string | undefined {
  return (JSON.parse(text) as { error?: string }).error;
}

function registerMachine(server: TestServer): Promise<Application> {
  return registerApplication(server, {
    kind: 'machine',
    redirectUris: [],
    grantTypes: ['client_credentials'],
    scopes: [],
  });
}

/** One DPoP proof (RFC 9449 §4.2), presented `count` times at once. */
async function presentProof(
  nodes: readonly Node[],
  count: number,
  present: (node: Node, init: { headers: { dpop: string } }) => Promise<Response>,
  path = '/oauth/token',
): Promise<Answer[]> {
  const { issuer } = nodes[0]!;
  const init = await proven(issuer, await proofKey(), { htu: `${issuer}${path}` });
  return fireAtOnce(nodes, count, (node) => answerOf(present(node, init)));
}
