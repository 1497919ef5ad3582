import { createHmac, timingSafeEqual } from 'node:crypto';
import { appendFile } from 'node:fs/promises';

import { z } from 'zod';

import type { Clock } from '../platform/clock.ts';
import type { Queryable } from '../platform/database.ts';

/*
 * Signed checkpoints: what the head of the chain was, told on a schedule to a place that the database's administrator
 * does not control. The chain alone cannot show that its tail was cut off, nor that all of it was computed anew.
 */

const checkpointSchema = z.strictObject({
  seq: z.number().int().min(0),
  hash: z.string(),
  at: z.string(),
  signature: z.string(),
});

export type Checkpoint = z.infer<typeof checkpointSchema>;

export type CheckpointSink = (checkpoint: Checkpoint) => Promise<void>;

/** Signs the present head and hands it to the sink; undefined while the log is empty. */
export async function emitCheckpoint({
  db,
  clock,
  key,
  sink,
}: {
  db: Queryable;
  clock: Clock;
  /** `sealer.deriveKey('audit-checkpoint')` */
  key: Buffer;
  sink: CheckpointSink;
}): Promise<Checkpoint | undefined> {
  const { rows } = await db.query<{ seq: string; hash: string }>('select seq, hash from audit_head');
  const head = rows[0];
  if (!head || Number(head.seq) === 0) return undefined;
  const unsigned = { seq: Number(head.seq), hash: head.hash, at: clock.now().toISOString() };
  const checkpoint = { ...unsigned, signature: sign(key, unsigned) };
  await sink(checkpoint);
  return checkpoint;
}

/** Appends each checkpoint to a file, as a line of JSON. */
export function createFileSink(path: string): CheckpointSink {
  return (checkpoint) => appendFile(path, `${JSON.stringify(checkpoint)}\n`, { mode: 0o600 });
}

/** Writes each checkpoint as a log line, for deployments that ship their logs elsewhere. */
export function createLogSink(logger: { info: (details: object, message: string) => void }): CheckpointSink {
  return async (checkpoint) => logger.info({ checkpoint }, 'Audit checkpoint');
}

/**
 * Reads checkpoints, one JSON object a line, in any order; empty lines are skipped.
 *
 * @throws Error naming the line that is none
 */
export function parseCheckpoints(lines: string): Checkpoint[] {
  return lines.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    try {
      return [checkpointSchema.parse(JSON.parse(line))];
    } catch (error) {
      throw new Error(`Line ${index + 1} is not a checkpoint`, { cause: error });
    }
  });
}

export function isGenuine(key: Buffer, { signature, ...unsigned }: Checkpoint): boolean {
  const expected = Buffer.from(sign(key, unsigned));
  const given = Buffer.from(signature);
  return expected.length === given.length && timingSafeEqual(expected, given);
}

function sign(key: Buffer, { seq, hash, at }: Omit<Checkpoint, 'signature'>): string {
  return createHmac('sha256', key).update(`${seq}\n${hash}\n${at}`).digest('base64url');
}
