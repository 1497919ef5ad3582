import type { Queryable } from '../platform/database.ts';
import { chainHash, GENESIS_HASH, personalDigest } from './chain.ts';
import { isGenuine, type Checkpoint } from './checkpoints.ts';
import { FIELDS, toChainedFields, type ChainedColumns } from './row.ts';

/** Walks the chain and names the first thing that is not as it was written. */

const PAGE = 1_000;

interface VerifyProblem {
  kind: 'altered' | 'personal_altered' | 'missing' | 'reordered' | 'head' | 'checkpoint';
  /** The place in the chain where it shows first. */
  seq: number;
  /** The row's id, where there is a row. */
  id?: string;
  message: string;
}

export interface VerifyResult {
  isWhole: boolean;
  problem?: VerifyProblem;
  /** Rows that were found sound. */
  rows: number;
  head: { seq: number; hash: string };
  /** Rows whose personal details have been erased; the chain covers them all the same. */
  erased: number;
  /** Rows that no flush has linked yet. Normally those of the last second. */
  unlinked: number;
  checkpoints: number;
}

export interface VerifyOptions {
  onProgress?: ((progress: { seq: number; of: number }) => void) | undefined;
  checkpoints?: readonly Checkpoint[] | undefined;
  /** Any of them may have signed. Without them, the checkpoints' signatures are not looked at. */
  checkpointKeys?: readonly Buffer[] | undefined;
}

interface VerifyRow extends ChainedColumns {
  seq: string;
  hash: string;
  prev_hash: string;
  personal: Record<string, unknown> | null;
  personal_salt: string | null;
}

interface Walk {
  seq: number;
  hash: string;
  rows: number;
  erased: number;
}

export async function verifyChain(
  db: Queryable,
  { onProgress, checkpoints = [], checkpointKeys }: VerifyOptions = {},
): Promise<VerifyResult> {
  const state = await readState(db);
  const walk: Walk = { seq: 0, hash: GENESIS_HASH, rows: 0, erased: 0 };
  const result = (problem?: VerifyProblem): VerifyResult => ({
    isWhole: problem === undefined,
    ...(problem ? { problem } : {}),
    rows: walk.rows,
    head: { seq: state.seq, hash: state.hash },
    erased: walk.erased,
    unlinked: state.unlinked,
    checkpoints: checkpoints.length,
  });

  const forged =
    checkpointKeys &&
    checkpoints.find((checkpoint) => !checkpointKeys.some((key) => isGenuine(key, checkpoint)));
  if (forged)
    return result({
      kind: 'checkpoint',
      seq: forged.seq,
      message: 'the checkpoint was not signed by this server',
    });

  const expected = Map.groupBy(checkpoints, ({ seq }) => seq);
  for (;;) {
    const rows = await readPage(db, walk.seq, state.seq);
    for (const row of rows) {
      const problem = check(row, walk) ?? compare(expected.get(Number(row.seq)), row);
      if (problem) return result(problem);
      walk.seq = Number(row.seq);
      walk.hash = row.hash;
      walk.rows += 1;
      if (row.personal_digest !== null && row.personal === null) walk.erased += 1;
    }
    onProgress?.({ seq: walk.seq, of: state.seq });
    if (rows.length < PAGE) break;
  }
  return result(checkEnd(walk, state, checkpoints));
}

function check(row: VerifyRow, walk: Walk): VerifyProblem | undefined {
  const seq = Number(row.seq);
  const at = { seq, id: row.id };
  if (seq > walk.seq + 1)
    return {
      kind: 'missing',
      seq: walk.seq + 1,
      message: `row ${walk.seq + 1} is missing; the next one found is ${seq}`,
    };
  if (seq <= walk.seq) return { kind: 'reordered', ...at, message: `two rows claim place ${seq}` };
  if (chainHash(row.prev_hash, toChainedFields(row)) !== row.hash)
    return { kind: 'altered', ...at, message: 'the row is not what its hash was made from' };
  if (row.prev_hash !== walk.hash)
    return {
      kind: 'reordered',
      ...at,
      message: 'the row is sound in itself but does not follow the one before it',
    };
  if (row.personal !== null && personalDigest(row.personal_salt ?? '', row.personal) !== row.personal_digest)
    return { kind: 'personal_altered', ...at, message: 'the personal details are not what was recorded' };
  return undefined;
}

function compare(checkpoints: readonly Checkpoint[] | undefined, row: VerifyRow): VerifyProblem | undefined {
  const broken = checkpoints?.find(({ hash }) => hash !== row.hash);
  return (
    broken && {
      kind: 'checkpoint',
      seq: broken.seq,
      id: row.id,
      message: `the row differs from the checkpoint of ${broken.at}: the chain was computed anew`,
    }
  );
}

function checkEnd(
  walk: Walk,
  state: { seq: number; hash: string; lastSeq: number },
  checkpoints: readonly Checkpoint[],
): VerifyProblem | undefined {
  if (walk.seq < state.seq)
    return {
      kind: 'missing',
      seq: walk.seq + 1,
      message: `row ${walk.seq + 1} is missing; the chain's head is at ${state.seq}`,
    };
  if (walk.hash !== state.hash)
    return {
      kind: 'head',
      seq: state.seq,
      message: "the chain's head does not carry the hash of its last row",
    };
  if (state.lastSeq > state.seq)
    return {
      kind: 'head',
      seq: state.seq,
      message: `the chain's head is at ${state.seq}, but there are rows up to ${state.lastSeq}`,
    };
  const beyond = checkpoints.find(({ seq }) => seq > state.seq);
  if (beyond)
    return {
      kind: 'checkpoint',
      seq: state.seq + 1,
      message: `the checkpoint of ${beyond.at} saw row ${beyond.seq}; the chain ends at ${state.seq}`,
    };
  return undefined;
}

/** In one statement, for what is written meanwhile must not look like a fault. */
async function readState(
  db: Queryable,
): Promise<{ seq: number; hash: string; lastSeq: number; unlinked: number }> {
  const { rows } = await db.query<{ seq: string; hash: string; last_seq: string; unlinked: string }>(
    `select seq, hash,
            coalesce((select max(seq) from audit_events), 0) as last_seq,
            (select count(*) from audit_events where seq is null) as unlinked
       from audit_head`,
  );
  const row = rows[0];
  if (!row) return { seq: 0, hash: GENESIS_HASH, lastSeq: 0, unlinked: 0 };
  return {
    seq: Number(row.seq),
    hash: row.hash,
    lastSeq: Number(row.last_seq),
    unlinked: Number(row.unlinked),
  };
}

async function readPage(db: Queryable, after: number, upTo: number): Promise<VerifyRow[]> {
  const { rows } = await db.query<VerifyRow>(
    `select ${FIELDS}, seq, hash, prev_hash, personal, personal_salt from audit_events
      where seq > $1 and seq <= $2 order by seq limit ${PAGE}`,
    [after, upTo],
  );
  return rows;
}
