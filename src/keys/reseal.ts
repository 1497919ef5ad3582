import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import type { Sealer } from '../platform/seal.ts';
import { cookieSealContextOf } from './cookie-keys.ts';
import { lockKeys, sealContextOf } from './store.ts';

/**
 * Seals every signing and cookie key anew that another than the current secret key sealed, after which that one can
 * be taken from the configuration.
 *
 * @returns how many were sealed anew
 * @throws where the secret key that sealed one of them is not configured; nothing is changed then
 */
export async function resealKeys(
  { db, sealer, clock }: { db: Database; sealer: Sealer; clock: Clock },
  by: Actor,
): Promise<number> {
  return db.transaction(async (tx) => {
    await lockKeys(tx);
    const count =
      (await resealColumn(tx, sealer, {
        select:
          'select kid as id, private_jwk_sealed as sealed from signing_keys where private_jwk_sealed is not null',
        update: 'update signing_keys set private_jwk_sealed = $2 where kid = $1',
        contextOf: sealContextOf,
      })) +
      (await resealColumn(tx, sealer, {
        select: 'select id, secret_sealed as sealed from cookie_keys',
        update: 'update cookie_keys set secret_sealed = $2 where id = $1',
        contextOf: cookieSealContextOf,
      }));
    if (count > 0) {
      await appendInTransaction(
        tx,
        {
          type: 'key.resealed',
          outcome: 'success',
          actor: by,
          payload: { count, key_id: sealer.currentKeyId },
        },
        { clock },
      );
    }
    return count;
  });
}

async function resealColumn(
  tx: Queryable,
  sealer: Sealer,
  { select, update, contextOf }: { select: string; update: string; contextOf: (id: string) => string },
): Promise<number> {
  const { rows } = await tx.query<{ id: string; sealed: string }>(select);
  const due = rows.filter(({ sealed }) => sealer.keyIdOf(sealed) !== sealer.currentKeyId);
  for (const { id, sealed } of due) {
    await tx.query(update, [id, sealer.seal(sealer.open(sealed, contextOf(id)), contextOf(id))]);
  }
  return due.length;
}
