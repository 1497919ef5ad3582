import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { OidcStore } from '../../../src/oidc/store/port.ts';
import { endPayload, endPayloadsOfGrant, putPayload } from '../../../src/oidc/store/postgres-payloads.ts';
import { endSession, saveSession } from '../../../src/oidc/store/postgres-sessions.ts';
import { createPostgresStore } from '../../../src/oidc/store/postgres-store.ts';
import { grantDigestOf, idDigestOf, toRecord, uidDigestOf } from '../../../src/oidc/store/records.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startWhile } from '../../support/locks.ts';

const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);
const clock = createTestClock();
const now = clock.now();
const later = new Date(now.getTime() + 60_000);

/** Orders that a race meets once in a million, made certain: one side holds its locks until the other waits for them. */
describe('writing and ending at the same moment in PostgreSQL', () => {
  let database: TestDatabase;
  let store: OidcStore;
  beforeAll(async () => {
    database = await createTestDatabase();
    store = createPostgresStore({ db: database.db, clock, sealer });
  });
  afterAll(() => database.drop());

  it('refuses a token whose grant is just being destroyed', async () => {
    await store.upsert('Grant', 'g1', {}, 60);
    const written = await startWhile(
      database.db,
      async (tx) => {
        await endPayload(tx, 'Grant', grantDigestOf('g1'), { now, forgetAt: later });
        await endPayloadsOfGrant(tx, grantDigestOf('g1'), { now, forgetAt: later });
      },
      () => store.upsert('AccessToken', 'at1', { grantId: 'g1' }, 60),
    );
    expect(written).toMatchObject({ status: 'rejected', reason: { code: 'grant_ended' } });
    expect(await store.find('AccessToken', 'at1')).toBeUndefined();
  });

  it('removes a token that is just being written when its grant is destroyed', async () => {
    await store.upsert('Grant', 'g2', {}, 60);
    await startWhile(
      database.db,
      (tx) => putPayload(tx, 'AccessToken', toRecord(sealer, 'AccessToken', 'at2', { grantId: 'g2' }), later),
      () => store.destroy('Grant', 'g2'),
    );
    expect(await store.find('AccessToken', 'at2')).toBeUndefined();
  });

  const session = (id: string, uid: string) => ({
    idDigest: idDigestOf('Session', id),
    uidDigest: uidDigestOf(uid),
    body: { uid },
    granted: { app: { sid: 's' } },
    withdrawn: [],
    isNew: false,
    replacedIdDigest: undefined,
    now,
    expiresAt: later,
    graceUntil: later,
  });

  it('refuses to save a session that is just being ended', async () => {
    await store.saveSession('s1', { uid: 'u1' }, 60);
    const saved = await startWhile(
      database.db,
      (tx) => endSession(tx, { uidDigest: uidDigestOf('u1') }, { now, forgetAt: later }),
      () => store.saveSession('s1', { uid: 'u1' }, 60, { baseline: {} }),
    );
    expect(saved).toEqual({ status: 'fulfilled', value: 'ended' });
    expect(await store.find('Session', 's1')).toBeUndefined();
  });

  it('does not find an id that a session got at the moment of its end', async () => {
    await store.saveSession('s2', { uid: 'u2' }, 60);
    await startWhile(
      database.db,
      (tx) => saveSession(tx, session('s2-new', 'u2')),
      () => store.endSession('u2'),
    );
    expect(await store.find('Session', 's2-new')).toBeUndefined();
    expect(await store.findByUid('u2')).toBeUndefined();
  });

  it('keeps the clients of both when two requests save one session', async () => {
    await store.saveSession('s3', { uid: 'u3' }, 60);
    const other = { uid: 'u3', authorizations: { other: { sid: 'o' } } };
    await startWhile(
      database.db,
      (tx) => saveSession(tx, session('s3', 'u3')),
      () => store.saveSession('s3', other, 60, { baseline: {} }),
    );
    expect((await store.findByUid('u3'))?.['authorizations']).toEqual({
      app: { sid: 's' },
      other: { sid: 'o' },
    });
  });
});
