import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Model, OidcStore } from '../../../src/oidc/store/port.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  signedIn,
} from '../../support/application.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

/** A store that fails at the next writing of one kind of payload, in a way that nobody foresaw. */
function makeFragile(store: OidcStore, failing: Set<Model>): OidcStore {
  return {
    ...store,
    upsert: async (model, ...rest) => {
      if (failing.delete(model)) throw new TypeError('a fault of ours');
      return store.upsert(model, ...rest);
    },
  };
}

describe.each<StoreKind>(['redis', 'postgres'])('a fault while tokens are issued, in %s', (kind) => {
  const failing = new Set<Model>();
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({
      store: kind,
      env: { GATEHOUSE_LOG_LEVEL: 'fatal' },
      decorateStore: (store) => makeFragile(store, failing),
    });
  }, 60_000);
  afterAll(() => server.stop());

  const expectRecordedFault = async (response: Response): Promise<void> => {
    expect(response.status).toBe(500);
    const requestId = response.headers.get('x-request-id') ?? '';
    const { events } = await server.subjects.audit.list({ requestId });
    expect(events.map(({ type }) => type)).toEqual(['server.error']);
  };

  it('leaves the refresh token good', async () => {
    const { application, tokens } = await signedIn(server);
    failing.add('AccessToken');
    await expectRecordedFault(await refresh(server, application, tokens.refresh_token ?? ''));
    expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it('leaves the code good', async () => {
    const application = await registerApplication(server);
    const request = authorizationRequest(server, application);
    const person = createPerson(server.issuer);
    const code = codeOf(await authorize(person, request, await registerPerson(server)));
    failing.add('RefreshToken');
    await expectRecordedFault(await redeem(server, application, { code, verifier: request.verifier }));
    expect((await redeem(server, application, { code, verifier: request.verifier })).status).toBe(200);
  });
});
