import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { AppError } from '../../../src/platform/errors.ts';
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

type Failing = Map<Model, () => Error>;

/** A store that fails at every writing of one kind of payload, until it is mended. */
function makeFragile(store: OidcStore, failing: Failing, written: string[]): OidcStore {
  return {
    ...store,
    upsert: async (model, id, ...rest) => {
      if (model === 'RefreshToken') written.push(id);
      const fault = failing.get(model);
      if (fault) throw fault();
      return store.upsert(model, id, ...rest);
    },
  };
}

const unforeseen = (): Error => new TypeError('a fault of ours');
/** As both stores say it where the grant was revoked after the library had looked at it. */
const grantEnded = (): Error => new AppError('grant_ended', 400, 'The grant of this token has ended.');

describe.each<StoreKind>(['redis', 'postgres'])('a fault while tokens are issued, in %s', (kind) => {
  const failing: Failing = new Map();
  /** The ids of the refresh tokens that were to be written. */
  const written: string[] = [];
  let held: OidcStore;
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({
      store: kind,
      env: { GATEHOUSE_LOG_LEVEL: 'fatal' },
      decorateStore: (store) => {
        held = store;
        return makeFragile(store, failing, written);
      },
    });
  }, 60_000);
  afterEach(() => failing.clear());
  afterAll(() => server.stop());

  const expectRecordedFault = async (response: Response): Promise<void> => {
    expect(response.status).toBe(500);
    const requestId = response.headers.get('x-request-id') ?? '';
    const { events } = await server.subjects.audit.list({ requestId });
    expect(events.map(({ type }) => type)).toEqual(['server.error']);
  };

  it('leaves the refresh token good', async () => {
    const { application, tokens } = await signedIn(server);
    failing.set('AccessToken', unforeseen);
    await expectRecordedFault(await refresh(server, application, tokens.refresh_token ?? ''));
    failing.clear();
    expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it.each<Model>(['AccessToken', 'RefreshToken'])(
    'that passes (%s) costs nothing: one successor, one record',
    async (model) => {
      const { application, tokens } = await signedIn(server);
      written.length = 0;
      failing.set(model, () => {
        failing.clear();
        return unforeseen();
      });
      const response = await refresh(server, application, tokens.refresh_token ?? '');
      expect(response.status).toBe(200);
      const { refresh_token: successor } = (await response.json()) as { refresh_token: string };
      // The library began anew: what the first attempt wrote is gone.
      const standing = await Promise.all(written.map((id) => held.find('RefreshToken', id)));
      expect(written.filter((_, index) => standing[index] !== undefined)).toEqual([successor]);
      const requestId = response.headers.get('x-request-id') ?? '';
      const { events } = await server.subjects.audit.list({ requestId });
      expect(events.map(({ type }) => type)).toEqual(['token.issued']);
      expect((await refresh(server, application, successor)).status).toBe(200);
    },
  );

  it('leaves the code good', async () => {
    const application = await registerApplication(server);
    const request = authorizationRequest(server, application);
    const person = createPerson(server.issuer);
    const code = codeOf(await authorize(person, request, await registerPerson(server)));
    failing.set('RefreshToken', unforeseen);
    await expectRecordedFault(await redeem(server, application, { code, verifier: request.verifier }));
    failing.clear();
    expect((await redeem(server, application, { code, verifier: request.verifier })).status).toBe(200);
  });

  it('refuses the refresh whose grant ends while it is written, and records why', async () => {
    const { application, tokens } = await signedIn(server);
    failing.set('RefreshToken', grantEnded);
    const response = await refresh(server, application, tokens.refresh_token ?? '');
    expect([response.status, await response.json()]).toMatchObject([400, { error: 'invalid_grant' }]);
    const requestId = response.headers.get('x-request-id') ?? '';
    const { events } = await server.subjects.audit.list({ requestId });
    expect(events.map(({ type, payload }) => [type, payload['reason']])).toEqual([
      ['token.refused', 'grant ended'],
    ]);
  });
});
