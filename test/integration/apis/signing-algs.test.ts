import { afterAll, beforeAll, expect, it } from '@jest/globals';

import {
  ask,
  machineToken,
  redeemFor,
  refusalOf,
  registerApi,
  registerMachine,
  registerRole,
  registerVisitor,
  tokensOf,
} from '../../support/apis.ts';
import { OPERATOR } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_KEYS_ALGORITHMS: 'RS256,ES256' } });
});
afterAll(() => server.stop());

it('an API is not registered for an algorithm that no key signs by, nor changed to one', async () => {
  await expect(registerApi(server, { signingAlg: 'EdDSA' })).rejects.toMatchObject({
    code: 'invalid_api',
    message: expect.stringContaining('no EdDSA key'),
  });
  const { identifier } = await registerApi(server);
  const { apis } = server.subjects;
  await expect(apis.update(identifier, { signingAlg: 'EdDSA' }, OPERATOR)).rejects.toMatchObject({
    code: 'invalid_api',
  });
  expect((await apis.update(identifier, { signingAlg: 'ES256' }, OPERATOR)).signingAlg).toBe('ES256');
});

it('where the settings had the algorithm once, requests for the API are refused, on record, and cost nothing', async () => {
  const ledger = await registerApi(server, { signingAlg: 'ES256' });
  const role = await registerRole(server, ledger, ['read']);
  const visitor = await registerVisitor(server, { roles: [role] });
  const { identifier: resource } = ledger;
  const asked = await ask(server, visitor, { resource, scope: 'openid read' });
  const machine = await registerMachine(server);
  await server.subjects.apis.permitClient(
    { clientId: machine.clientId, api: resource, permissions: ['read'] },
    OPERATOR,
  );
  const change = async (alg: string): Promise<void> => {
    await server.database.db.query('update apis set signing_alg = $2 where identifier = $1', [resource, alg]);
    server.subjects.apis.forget();
  };

  await change('EdDSA');
  for (const refused of [
    await machineToken(server, machine, { resource }),
    await redeemFor(server, visitor.application, asked, resource),
  ]) {
    expect(await refusalOf(refused)).toEqual([400, 'invalid_target']);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { reason: expect.stringContaining('no EdDSA key') } },
    ]);
  }
  const { visited } = await ask(server, visitor, { resource, scope: 'openid read' });
  expect(visited.url.searchParams.get('error')).toBe('invalid_target');

  await change('ES256');
  expect((await machineToken(server, machine, { resource })).status).toBe(200);
  await tokensOf(await redeemFor(server, visitor.application, asked, resource));
});
