/** Something is revoked elsewhere, and this process has not heard of it yet: PostgreSQL refuses as it writes the record. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { consentKey } from '../../../src/audit/revocations.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { refusalOf } from '../../support/apis.ts';
import { refresh, signedIn } from '../../support/application.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';

type SignedIn = Awaited<ReturnType<typeof signedIn>>;
type Subject = (given: SignedIn & { grantId: string; sessionUid: string }) => string;

const REVOKED: [kind: string, subject: Subject][] = [
  ['grant', ({ grantId }) => grantId],
  ['session', ({ sessionUid }) => sessionUid],
  ['account', ({ credentials }) => credentials.account.sub],
  ['client', ({ application }) => application.clientId],
  [
    'consent',
    ({ credentials, application }) =>
      consentKey({ sub: credentials.account.sub, clientId: application.clientId }),
  ],
];

describe.each<StoreKind>(['redis', 'postgres'])('a refresh, with tokens in %s', (store) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
  }, 60_000);
  afterAll(() => server.stop());
  afterEach(() => {
    jest.restoreAllMocks();
  });

  describe.each([
    ['by the short way', {}],
    ['through the library', { kind: 'browser' }],
  ] as const)('%s', (_way, input) => {
    it.each(REVOKED)('whose %s was revoked meanwhile is refused, on record', async (kind, subjectOf) => {
      // Without offline_access it ends with the session.
      const given = await signedIn(server, input, 'openid');
      const { application, tokens } = given;
      const { events } = await server.subjects.audit.list({ clientId: application.clientId });
      const issued = events.find(({ type }) => type === 'token.issued');
      const [grantId, sessionUid] = [issued?.grant_id ?? '', issued?.session_uid ?? ''];
      jest.spyOn(server.subjects.revocations, 'isRevoked').mockReturnValue(false);
      await server.database.db.query(
        `insert into revocations (id, kind, subject, before, expires_at, reason)
         values ($1, $2, $3, now() + interval '1 minute', now() + interval '1 hour', 'a test')`,
        [uuidv7(), kind, subjectOf({ ...given, grantId, sessionUid })],
      );
      const refused = await refresh(server, application, tokens.refresh_token ?? '');
      expect(await refusalOf(refused)).toEqual([400, 'invalid_grant']);
      expect(await recordedOf(server, refused)).toMatchObject([
        {
          type: 'token.refused',
          client_id: application.clientId,
          payload: { reason: `revoked while the request was under way: ${kind}` },
        },
      ]);
      // What lost its record spent nothing: it is refused for what was revoked, and not as a replay.
      const again = await refresh(server, application, tokens.refresh_token ?? '');
      expect((await recordedOf(server, again)).map(({ type }) => type)).toEqual(['token.refused']);
    });
  });
});
