/**
 * Pairwise subject identifiers (OIDC Core §8.1): what the clients of one sector know a person by, and nobody else. Each
 * is random, made when it is first needed, and never changes: so they survive the rotation of every key, and can be
 * imported from another provider.
 */
import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import { type Database, type Queryable, uniqueViolation } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { randomId } from '../platform/ids.ts';
import { createKeyedCache } from '../platform/keyed-cache.ts';
import { accountNotFound } from './account.ts';

export interface PairwiseSubject {
  sector: string;
  sub: string;
  createdAt: Date;
}

export interface PairwiseSubjects {
  /**
   * What the sector knows the person by; made at the first call, one for however many calls at once.
   *
   * @param sub the account's own, which no client of the sector is told
   * @param sector a host in lower case
   * @throws AppError `account_not_found` (404)
   */
  find: (sub: string, sector: string) => Promise<string>;
  /** Back again: the account's own `sub`; undefined where the sector knows nobody by that name. */
  resolve: (pairwise: string, sector: string) => Promise<string | undefined>;
  /** In the order of the sectors. */
  list: (accountId: string) => Promise<PairwiseSubject[]>;
  /**
   * Takes over what the sector knew the person by at another provider.
   *
   * @throws AppError `account_not_found` (404), `sub_invalid` or `sector_invalid` (422), `sub_taken` (409) where the sector knows somebody
   *   else by it, or the person by another already
   */
  importSubject: (
    subject: { accountId: string; sector: string; sub: string },
    by: Actor,
  ) => Promise<PairwiseSubject>;
}

const FORM = /^[\x21-\x7e]{1,255}$/;
/** As the host of a parsed URL is written, without a port. */
const SECTOR = /^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])$/;
const SUBJECT_BYTES = 16;

export function createPairwiseSubjects({ db, clock }: { db: Database; clock: Clock }): PairwiseSubjects {
  const make = (sub: string, sector: string): Promise<string | undefined> =>
    db.transaction(async (tx) => {
      const accountId = await accountIdOf(tx, sub);
      if (accountId === undefined) return undefined;
      const { rows } = await tx.query<{ sub: string }>(
        `insert into pairwise_subjects (account_id, sector, sub, created_at) values ($1, $2, $3, $4)
         on conflict (account_id, sector) do nothing returning sub`,
        [accountId, sector, randomId(SUBJECT_BYTES), clock.now()],
      );
      const [made] = rows;
      // Somebody was quicker: theirs is visible now, for the conflict waited for it.
      if (!made) return findSubject(tx, sub, sector);
      await appendInTransaction(
        tx,
        { type: 'account.subject_made', outcome: 'success', accountId, payload: { sector } },
        { clock },
      );
      return made.sub;
    });

  // They never change, so what is in memory stays true; an account's `sub` is never used again after its end.
  const known = createKeyedCache<string>({
    missingForMs: 0,
    load: async (key) => {
      const [sub = '', sector = ''] = JSON.parse(key) as string[];
      return (await findSubject(db, sub, sector)) ?? (await make(sub, sector));
    },
  });

  return {
    find: async (sub, sector) => {
      const pairwise = await known.find(JSON.stringify([sub, sector]));
      if (pairwise === undefined) throw accountNotFound();
      return pairwise;
    },

    resolve: async (pairwise, sector) => {
      if (!FORM.test(pairwise)) return undefined;
      const { rows } = await db.query<{ sub: string }>(
        `select a.sub from pairwise_subjects p join accounts a on a.id = p.account_id
          where p.sector = $1 and p.sub = $2`,
        [sector, pairwise],
      );
      return rows[0]?.sub;
    },

    list: async (accountId) => {
      const { rows } = await db.query<{ sector: string; sub: string; created_at: Date }>(
        `select sector, sub, created_at from pairwise_subjects where account_id = $1
          order by sector collate "C"`,
        [accountId],
      );
      return rows.map(({ sector, sub, created_at: createdAt }) => ({ sector, sub, createdAt }));
    },

    importSubject: async ({ accountId, sector, sub }, by) => {
      if (!FORM.test(sub)) {
        throw new AppError('sub_invalid', 422, 'A subject identifier has 1 to 255 visible ASCII characters.');
      }
      if (!SECTOR.test(sector)) {
        throw new AppError('sector_invalid', 422, 'A sector is a host in lower case: shop.example.');
      }
      return db.transaction(async (tx) => {
        const { rows: accounts } = await tx.query('select 1 from accounts where id = $1 for share', [
          accountId,
        ]);
        if (accounts.length === 0) throw accountNotFound();
        const createdAt = clock.now();
        const inserted = await tx
          .query<{ sub: string }>(
            `insert into pairwise_subjects (account_id, sector, sub, created_at) values ($1, $2, $3, $4)
             on conflict (account_id, sector) do nothing returning sub`,
            [accountId, sector, sub, createdAt],
          )
          .catch((error: unknown) => {
            if (uniqueViolation(error) !== 'pairwise_subjects_sub_unique') throw error;
            throw new AppError('sub_taken', 409, `The sector ${sector} knows somebody else by that.`, {
              cause: error,
            });
          });
        if (inserted.rows.length === 0) {
          throw new AppError(
            'sub_taken',
            409,
            `The sector ${sector} knows this person already; what was told to applications cannot be taken back.`,
          );
        }
        await appendInTransaction(
          tx,
          {
            type: 'account.subject_imported',
            outcome: 'success',
            actor: by,
            accountId,
            payload: { sector, sub },
          },
          { clock },
        );
        return { sector, sub, createdAt };
      });
    },
  };
}

async function accountIdOf(db: Queryable, sub: string): Promise<string | undefined> {
  const { rows } = await db.query<{ id: string }>('select id from accounts where sub = $1 for share', [sub]);
  return rows[0]?.id;
}

async function findSubject(db: Queryable, sub: string, sector: string): Promise<string | undefined> {
  const { rows } = await db.query<{ sub: string }>(
    `select p.sub from pairwise_subjects p join accounts a on a.id = p.account_id
      where a.sub = $1 and p.sector = $2`,
    [sub, sector],
  );
  return rows[0]?.sub;
}
