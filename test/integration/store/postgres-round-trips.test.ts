import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';

import type { OidcStore } from '../../../src/oidc/store/port.ts';
import { createPostgresStore } from '../../../src/oidc/store/postgres-store.ts';
import { idDigestOf } from '../../../src/oidc/store/records.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
let store: OidcStore;
let statements: number;

beforeAll(async () => {
  database = await createTestDatabase();
  const { db } = database;
  const counted: typeof db = {
    ...db,
    query: (...asked) => {
      statements += 1;
      return db.query(...asked);
    },
  };
  const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);
  store = createPostgresStore({ db: counted, clock: createTestClock(), sealer });
});
afterAll(() => database.drop());

const saveSession = (id: string, accountId: string, replaces?: string): Promise<unknown> => {
  const payload = {
    jti: id,
    uid: 'uid',
    accountId,
    loginTs: 100,
    authorizations: { app: { grantId: 'grant' } },
  };
  return store.saveSession(id, payload, 600, replaces === undefined ? {} : { baseline: {}, replaces });
};

beforeEach(async () => {
  await store.upsert('Grant', 'grant', { jti: 'grant', accountId: 'ada', clientId: 'app' }, 600);
  // A session that was just given another id is found by the former one too, for a moment.
  await saveSession('first', 'ada');
  await saveSession('second', 'ada', 'first');
  const token = {
    jti: 'token',
    grantId: 'grant',
    sessionUid: 'uid',
    expiresWithSession: true,
    nonce: '\u0000',
  };
  await store.upsert('AccessToken', 'token', token, 60);
  statements = 0;
});

it('reads a token with its grant and its session in one statement', async () => {
  const standing = await store.findStanding('AccessToken', 'token');
  expect(statements).toBe(1);
  expect(standing).toEqual({
    token: await store.find('AccessToken', 'token'),
    grant: await store.find('Grant', 'grant'),
    session: await store.findByUid('uid'),
  });
  expect(standing?.session).toMatchObject({
    accountId: 'ada',
    authorizations: { app: { grantId: 'grant' } },
  });
});

it('finds the session of a token that was written before tokens knew theirs', async () => {
  await database.db.query('update oidc_payloads set session_digest = null where id_digest = $1', [
    idDigestOf('AccessToken', 'token'),
  ]);
  expect(await store.findStanding('AccessToken', 'token')).toMatchObject({ session: { accountId: 'ada' } });
});
