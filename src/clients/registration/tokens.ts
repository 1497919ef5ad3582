/** Initial access tokens (RFC 7591 §3): who holds one may register clients under its policy. */
import type { Actor } from '../../audit/events.ts';
import { appendInTransaction } from '../../audit/append.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queryable } from '../../platform/database.ts';
import { AppError } from '../../platform/errors.ts';
import { digest, randomToken, uuidv7 } from '../../platform/ids.ts';
import { policySchema, type RegistrationPolicy } from './policy.ts';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_PRESENTED_LENGTH = 512;

export interface RegistrationToken {
  id: string;
  /** What the operator calls it. */
  name: string;
  policy: RegistrationPolicy;
  /** Absent: as often as one likes. */
  maxUses?: number;
  uses: number;
  createdAt: Date;
  expiresAt?: Date;
  revokedAt?: Date;
}

export interface NewRegistrationToken {
  name: string;
  policy: RegistrationPolicy;
  maxUses?: number;
  expiresAt?: Date;
}

export interface RegistrationTokens {
  /** The token is returned here and never again. @throws AppError `invalid_registration_token` (400) */
  create: (input: NewRegistrationToken, by: Actor) => Promise<{ token: string; stored: RegistrationToken }>;
  /** The newest first, those that are over as well. */
  list: () => Promise<RegistrationToken[]>;
  /** What was registered by it stays. @throws AppError `registration_token_not_found` (404) */
  revoke: (id: string, by: Actor) => Promise<RegistrationToken>;
}

export function createRegistrationTokens({ db, clock }: { db: Database; clock: Clock }): RegistrationTokens {
  return {
    create: async ({ name, policy, maxUses, expiresAt }, by) => {
      check({ name, policy, ...(maxUses !== undefined && { maxUses }) });
      const now = clock.now();
      const token = randomToken();
      const id = uuidv7(now);
      const stored = await db.transaction(async (tx) => {
        const { rows } = await tx.query<TokenRow>(
          `insert into registration_tokens (id, name, digest, policy, max_uses, created_at, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7) returning *`,
          [id, name, digestOf(token), JSON.stringify(policy), maxUses, now, expiresAt],
        );
        await appendInTransaction(
          tx,
          {
            type: 'registration_token.created',
            outcome: 'success',
            actor: by,
            payload: {
              token_id: id,
              name,
              ...(maxUses !== undefined && { max_uses: maxUses }),
              ...(expiresAt && { expires_at: expiresAt.toISOString() }),
            },
          },
          { clock },
        );
        return toToken(rows[0]!);
      });
      return { token, stored };
    },

    list: async () => {
      const { rows } = await db.query<TokenRow>('select * from registration_tokens order by id desc');
      return rows.map(toToken);
    },

    revoke: async (id, by) =>
      db.transaction(async (tx) => {
        const { rows } = await tx.query<TokenRow>(
          `update registration_tokens set revoked_at = coalesce(revoked_at, $2) where id::text = $1 returning *`,
          [UUID.test(id) ? id : '', clock.now()],
        );
        if (!rows[0]) {
          throw new AppError(
            'registration_token_not_found',
            404,
            `There is no registration token ${JSON.stringify(id)}.`,
          );
        }
        await appendInTransaction(
          tx,
          {
            type: 'registration_token.revoked',
            outcome: 'success',
            actor: by,
            payload: { token_id: id, name: rows[0].name },
          },
          { clock },
        );
        return toToken(rows[0]);
      }),
  };
}

/**
 * The token that was presented, while it is good.
 *
 * @throws AppError `invalid_token` (401); its cause says why, for the operator
 */
export async function findLiveToken(db: Queryable, presented: string, now: Date): Promise<RegistrationToken> {
  const { rows } =
    presented.length > MAX_PRESENTED_LENGTH
      ? { rows: [] }
      : await db.query<TokenRow>('select * from registration_tokens where digest = $1', [
          digestOf(presented),
        ]);
  const token = rows[0] && toToken(rows[0]);
  if (!token) throw notGood('no such initial access token');
  if (token.revokedAt) throw notGood(`the initial access token ${token.id} was revoked`);
  if (token.expiresAt && token.expiresAt <= now)
    throw notGood(`the initial access token ${token.id} has expired`);
  if (token.maxUses !== undefined && token.uses >= token.maxUses) throw usedUp(token);
  return token;
}

/**
 * Uses it once more, as part of the registration: of many at once no more succeed than it has uses left.
 *
 * @throws AppError `invalid_token` (401)
 */
export async function spendUse(tx: Queryable, token: RegistrationToken, now: Date): Promise<void> {
  const { rowCount } = await tx.query(
    `update registration_tokens set uses = uses + 1
      where id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
        and (max_uses is null or uses < max_uses)`,
    [token.id, now],
  );
  if (rowCount === 0) throw usedUp(token);
}

export async function policyOf(db: Queryable, tokenId: string): Promise<RegistrationPolicy> {
  const { rows } = await db.query<Pick<TokenRow, 'policy'>>(
    'select policy from registration_tokens where id = $1',
    [tokenId],
  );
  return policySchema.parse(rows[0]?.policy);
}

/** Whether it still registers clients. */
export function isLive({ maxUses, uses, expiresAt, revokedAt }: RegistrationToken, now: Date): boolean {
  return !revokedAt && (!expiresAt || expiresAt > now) && (maxUses === undefined || uses < maxUses);
}

function check({ name, policy, maxUses }: Pick<NewRegistrationToken, 'name' | 'policy' | 'maxUses'>): void {
  if (name.trim() === '' || name.length > 100) throw refuse('its name is 1 to 100 characters');
  if (maxUses !== undefined && (!Number.isSafeInteger(maxUses) || maxUses < 1 || maxUses > 1_000_000)) {
    throw refuse('it can be used 1 to 1000000 times');
  }
  const [issue] = policySchema.safeParse(policy).error?.issues ?? [];
  if (issue) throw refuse(`its policy: ${issue.path.join('.')} ${issue.message}`);
  if (policy.redirectHosts.length === 0 && policy.kinds.some((kind) => kind !== 'machine')) {
    throw refuse('clients of people need somewhere to send them back to: name the hosts');
  }
}

interface TokenRow {
  id: string;
  name: string;
  policy: unknown;
  max_uses: number | null;
  uses: number;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
}

function toToken(row: TokenRow): RegistrationToken {
  return {
    id: row.id,
    name: row.name,
    policy: policySchema.parse(row.policy),
    uses: row.uses,
    createdAt: row.created_at,
    ...(row.max_uses !== null && { maxUses: row.max_uses }),
    ...(row.expires_at !== null && { expiresAt: row.expires_at }),
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
  };
}

function digestOf(token: string): string {
  return digest('registration-token', token);
}

function notGood(reason: string): AppError {
  return new AppError('invalid_token', 401, 'The initial access token is not good, or not good any more.', {
    cause: new Error(reason),
  });
}

function usedUp({ id }: RegistrationToken): AppError {
  return notGood(`the initial access token ${id} is used up`);
}

function refuse(advice: string): AppError {
  return new AppError('invalid_registration_token', 400, `The token cannot be made so: ${advice}.`);
}
