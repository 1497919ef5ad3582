/** A client's second secret, and the end of its first: two live at most, and never none. */
import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { hasSecret, type Client } from './client.ts';
import { generateSecret, hashSecret, liveSecrets } from './secrets.ts';
import { deleteExpiredSecrets, deleteSecret, expireSecrets, insertSecret, touchClient } from './store.ts';

const MAX_LIVE_SECRETS = 2;

interface Change {
  by: Actor;
  clock: Clock;
}

/**
 * @param client locked
 * @param change.graceSeconds how long the first lives on; without it until it is removed
 * @throws AppError `too_many_secrets`, `no_secret_wanted` (409)
 */
export async function rotateSecretInTransaction(
  tx: Queryable,
  client: Client,
  { graceSeconds, by, clock }: Change & { graceSeconds: number | undefined },
): Promise<{ secret: string; secretId: string }> {
  const now = clock.now();
  const { clientId } = client;
  if (!hasSecret(client)) throw noSecretWanted(client.authMethod);
  const expiresAt = graceSeconds === undefined ? undefined : new Date(now.getTime() + graceSeconds * 1_000);
  const survivors = graceSeconds === 0 ? 0 : liveSecrets(client, now).length;
  if (survivors >= MAX_LIVE_SECRETS) {
    throw new AppError(
      'too_many_secrets',
      409,
      `Client ${clientId} has ${MAX_LIVE_SECRETS} live secrets already. Remove the one that is no longer used, or rotate without grace (0 seconds), which ends both.`,
    );
  }
  if (expiresAt) await expireSecrets(tx, clientId, expiresAt);
  await deleteExpiredSecrets(tx, clientId, now);
  const secret = generateSecret();
  const stored = hashSecret(secret, now);
  await insertSecret(tx, clientId, stored);
  await touchClient(tx, clientId, now);
  await appendInTransaction(
    tx,
    {
      type: 'client.secret_rotated',
      outcome: 'success',
      actor: by,
      clientId,
      payload: {
        secret_id: stored.id,
        live: survivors + 1,
        ...(expiresAt && { expires_at: expiresAt.toISOString() }),
      },
    },
    { clock },
  );
  return { secret, secretId: stored.id };
}

/**
 * @param client locked
 * @throws AppError `secret_not_found` (404), `last_secret` (409)
 */
export async function removeSecretInTransaction(
  tx: Queryable,
  client: Client,
  { secretId, by, clock }: Change & { secretId: string },
): Promise<void> {
  const now = clock.now();
  const { clientId } = client;
  if (!client.secrets.some(({ id }) => id === secretId)) {
    throw new AppError('secret_not_found', 404, `Client ${clientId} has no secret ${secretId}.`);
  }
  if (liveSecrets(client, now).every(({ id }) => id === secretId)) {
    throw new AppError(
      'last_secret',
      409,
      `It is the only live secret of client ${clientId}. Rotate first; without grace, if it has leaked.`,
    );
  }
  await deleteSecret(tx, clientId, secretId);
  await touchClient(tx, clientId, now);
  await appendInTransaction(
    tx,
    {
      type: 'client.secret_removed',
      outcome: 'success',
      actor: by,
      clientId,
      payload: { secret_id: secretId },
    },
    { clock },
  );
}

export function noSecretWanted(authMethod: string): AppError {
  return new AppError(
    'no_secret_wanted',
    409,
    `The client authenticates with ${authMethod}: it has no secret to keep.`,
  );
}
