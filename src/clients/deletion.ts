import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import { insertRevocation } from '../audit/revocations.ts';
import type { Clock } from '../platform/clock.ts';
import type { Queryable } from '../platform/database.ts';
import type { Client } from './client.ts';
import { deleteClient } from './store.ts';

/** The client's row must be locked. @param longestTokenSeconds how long a token of a client lives at most */
export async function deleteInTransaction(
  tx: Queryable,
  { clientId, name }: Pick<Client, 'clientId' | 'name'>,
  {
    by,
    reason,
    clock,
    longestTokenSeconds,
  }: { by: Actor; reason?: string; clock: Clock; longestTokenSeconds: number },
): Promise<void> {
  await deleteClient(tx, clientId);
  // One of the same name that is registered later does not inherit what this one was given.
  await insertRevocation(tx, {
    kind: 'client',
    id: clientId,
    before: clock.now(),
    expiresAt: new Date(clock.now().getTime() + longestTokenSeconds * 1_000),
    reason: 'client deleted',
  });
  await appendInTransaction(
    tx,
    {
      type: 'client.deleted',
      outcome: 'success',
      actor: by,
      clientId,
      payload: { name, ...(reason !== undefined && { reason }) },
    },
    { clock },
  );
}
