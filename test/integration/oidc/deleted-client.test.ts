import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  introspect,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  signedIn,
  authorizationRequest,
  codeOf,
  type Tokens,
} from '../../support/application.ts';
import { machineToken, registerApi, registerMachine, tokensOf } from '../../support/apis.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { startOfSecond } from '../../support/seconds.ts';

describe.each<StoreKind>(['postgres', 'redis'])('a client that was deleted, over %s', (store) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
  });
  afterAll(() => server.stop());

  it('leaves nothing to one of the same name', async () => {
    const { application, tokens, person } = await signedIn(server);
    const request = authorizationRequest(server, application);
    const code = codeOf(await person.open(request.url));
    // Whoever is told a second later is told by whole seconds, as tokens carry their times.
    await untilNextSecond();
    await server.subjects.clients.delete(application.clientId, OPERATOR);
    const again = await registerApplication(server, { clientId: application.clientId });
    await untilNoticed();

    expect(await introspect(server, again, tokens.access_token)).toEqual({ active: false });
    expect((await refresh(server, again, tokens.refresh_token ?? '')).status).toBe(400);
    expect((await redeem(server, again, { code, verifier: request.verifier })).status).toBe(400);
    const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    });
    expect(userinfo.status).toBe(401);

    // The person is still signed in, and the new client gets what is its own.
    const fresh = authorizationRequest(server, again);
    const response = await redeem(server, again, {
      code: codeOf(await person.open(fresh.url)),
      verifier: fresh.verifier,
    });
    expect(response.status).toBe(200);
    const { access_token: token } = (await response.json()) as Tokens;
    expect(await introspect(server, again, token)).toMatchObject({ active: true });
  });

  it('takes nothing along of one of the same name, nor does an API, in the very second', async () => {
    const { standing, identifier } = await registerApi(server, { accessTokenFormat: 'opaque' });
    const machine = await registerMachine(server);
    await startOfSecond();
    await server.subjects.apis.delete(identifier, OPERATOR);
    await server.subjects.clients.delete(machine.clientId, OPERATOR);
    await server.subjects.apis.create(
      {
        identifier,
        name: 'Ledger',
        permissions: [{ name: 'read', description: 'See' }],
        clientId: standing.clientId,
        accessTokenFormat: 'opaque',
      },
      OPERATOR,
    );
    const again = await registerMachine(server, { clientId: machine.clientId });
    const permitted = { clientId: again.clientId, api: identifier, permissions: ['read'] };
    await server.subjects.apis.permitClient(permitted, OPERATOR);
    await server.subjects.revocations.refresh();
    const own = await tokensOf(await machineToken(server, again, {}));
    const forApi = await tokensOf(await machineToken(server, again, { resource: identifier, scope: 'read' }));
    expect(await introspect(server, again, own.access_token)).toMatchObject({ active: true });
    expect(await introspect(server, standing, forApi.access_token)).toMatchObject({ active: true });
  });
});

function untilNextSecond(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1_010));
}

/** Caches and revocations reach every process within a second. */
function untilNoticed(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1_200));
}
