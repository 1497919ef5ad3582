import type { Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { AuditOutcome } from './events.ts';
import { FIELDS, UUID, type ChainedColumns } from './row.ts';

/** Reading the log: a page at a time for people, as a stream for machines. */

export interface AuditFilter {
  since?: Date | undefined;
  until?: Date | undefined;
  /** Whole types (`token.issued`) or their first word (`token`). */
  types?: readonly string[] | undefined;
  /** What happened to the account, and what it did. */
  accountId?: string | undefined;
  clientId?: string | undefined;
  /** Whole, or the eight characters of it that a page shows as `7F3C-92AD`. */
  requestId?: string | undefined;
  outcome?: AuditOutcome | undefined;
}

/** One event as it is shown and exported. Absent values are null, so that every line has the same keys. */
export interface AuditRecord {
  id: string;
  type: string;
  /** ISO 8601, UTC, microseconds */
  at: string;
  outcome: AuditOutcome;
  request_id: string | null;
  /** The place in the chain; null for the second at most before the row is linked. */
  seq: number | null;
  hash: string | null;
  prev_hash: string | null;
  actor: { kind: string; id: string | null } | null;
  account_id: string | null;
  client_id: string | null;
  session_uid: string | null;
  grant_id: string | null;
  ip: string | null;
  user_agent: string | null;
  payload: Record<string, unknown>;
  /** Covers what of address, user agent and payload can be erased. */
  personal_digest: string | null;
}

export interface AuditPage {
  /** Newest last. */
  events: AuditRecord[];
  /** The cursor of the page before this one; absent where nothing older matches. */
  before?: string;
}

interface RecordRow extends ChainedColumns {
  seq: string | null;
  hash: string | null;
  prev_hash: string | null;
  personal: Record<string, unknown> | null;
}

const COLUMNS = `${FIELDS}, seq, hash, prev_hash, personal`;
const EXPORT_PAGE = 1_000;

/**
 * The newest `limit` events that match, or those before the cursor of an earlier page.
 *
 * @throws AppError `invalid_filter` (400)
 */
export async function listEvents(
  db: Queryable,
  {
    limit = 100,
    before,
    ...filter
  }: AuditFilter & { limit?: number | undefined; before?: string | undefined },
): Promise<AuditPage> {
  const { conditions, values } = toConditions(filter);
  if (before !== undefined) {
    const position = parseCursor(before);
    values.push(position.at, position.id);
    conditions.push(`(audit_events.at, id) < ($${values.length - 1}::timestamptz, $${values.length}::uuid)`);
  }
  const pageSize = Math.min(Math.max(1, Math.floor(limit)), 10_000);
  values.push(pageSize + 1);
  const { rows } = await db.query<RecordRow>(
    `select ${COLUMNS} from audit_events where ${conditions.join(' and ')}
      order by audit_events.at desc, id desc limit $${values.length}`,
    values,
  );
  const events = rows.slice(0, pageSize).map(present).reverse();
  const oldest = events[0];
  return rows.length > pageSize && oldest ? { events, before: toCursor(oldest) } : { events };
}

/** Everything that matches, oldest first, in memory a page at a time. */
export async function* exportEvents(db: Queryable, filter: AuditFilter = {}): AsyncGenerator<AuditRecord> {
  const { conditions, values } = toConditions(filter);
  const at = `$${values.length + 1}::timestamptz`;
  const id = `$${values.length + 2}::uuid`;
  let position: { at: string; id: string } = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' };
  for (;;) {
    const { rows } = await db.query<RecordRow>(
      `select ${COLUMNS} from audit_events
        where ${[...conditions, `(audit_events.at, id) > (${at}, ${id})`].join(' and ')}
        order by audit_events.at, id limit ${EXPORT_PAGE}`,
      [...values, position.at, position.id],
    );
    for (const row of rows) yield present(row);
    const last = rows.at(-1);
    if (!last || rows.length < EXPORT_PAGE) return;
    position = { at: last.at, id: last.id };
  }
}

function toConditions(filter: AuditFilter): { conditions: string[]; values: unknown[] } {
  const conditions = ['true'];
  const values: unknown[] = [];
  const add = (value: unknown, condition: (place: string) => string): void => {
    if (value === undefined) return;
    values.push(value);
    conditions.push(condition(`$${values.length}`));
  };
  if (filter.accountId !== undefined && !UUID.test(filter.accountId))
    throw new AppError('invalid_filter', 400, 'The account must be given by its id, a UUID.');
  add(filter.since, (place) => `audit_events.at >= ${place}::timestamptz`);
  add(filter.until, (place) => `audit_events.at < ${place}::timestamptz`);
  add(
    filter.types,
    (place) => `(type = any(${place}::text[]) or split_part(type, '.', 1) = any(${place}::text[]))`,
  );
  add(
    filter.accountId?.toLowerCase(),
    (place) => `(account_id = ${place}::uuid or (actor_kind = 'account' and actor_id = ${place}::text))`,
  );
  add(filter.clientId, (place) => `client_id = ${place}::text`);
  // A page shows the end of the id, in groups (http/views/wording.ts): whoever is told that finds the request.
  add(filter.requestId, (place) =>
    isReference(filter.requestId)
      ? `right(replace(lower(request_id), '-', ''), 8) = replace(lower(${place}::text), '-', '')`
      : `request_id = ${place}::text`,
  );
  add(filter.outcome, (place) => `outcome = ${place}::text`);
  return { conditions, values };
}

function present(row: RecordRow): AuditRecord {
  const { ip = null, user_agent: userAgent = null, ...names } = row.personal ?? {};
  return {
    id: row.id,
    type: row.type,
    at: row.at,
    outcome: row.outcome as AuditOutcome,
    request_id: row.request_id,
    seq: row.seq === null ? null : Number(row.seq),
    hash: row.hash,
    prev_hash: row.prev_hash,
    actor: row.actor_kind === null ? null : { kind: row.actor_kind, id: row.actor_id },
    account_id: row.account_id,
    client_id: row.client_id,
    session_uid: row.session_uid,
    grant_id: row.grant_id,
    ip: ip as string | null,
    user_agent: userAgent as string | null,
    payload: { ...(row.payload as Record<string, unknown>), ...names },
    personal_digest: row.personal_digest,
  };
}

function toCursor({ at, id }: AuditRecord): string {
  return Buffer.from(`${at}|${id}`).toString('base64url');
}

function parseCursor(cursor: string): { at: string; id: string } {
  const [at = '', id = ''] = Buffer.from(cursor, 'base64url').toString().split('|');
  if (!/^\d{4,6}-\d\d-\d\dT[\d:.]+Z$/.test(at) || !UUID.test(id))
    throw new AppError('invalid_filter', 400, 'The cursor is not one that this log gave.');
  return { at, id };
}

function isReference(requestId: string | undefined): boolean {
  return requestId !== undefined && /^[0-9a-z]{4}-?[0-9a-z]{4}$/i.test(requestId);
}
