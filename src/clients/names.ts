import type { Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { ACCOUNT_CLIENT_ID } from './own-client.ts';

/**
 * A client's id stands in tokens where the names of APIs and of people stand, so it is neither. APIs (apis/) and
 * accounts (accounts/) hold to the reverse.
 *
 * @throws AppError `invalid_client` (400)
 */
export async function assertFreeName(tx: Queryable, clientId: string): Promise<void> {
  if (clientId === ACCOUNT_CLIENT_ID) throw refuse(`${clientId} is this server's own; choose another id.`);
  const { rows } = await tx.query<{ is_api: boolean; is_person: boolean }>(
    `select exists (select 1 from apis where identifier = $1) as is_api,
       exists (select 1 from accounts where sub = $1) as is_person`,
    [clientId],
  );
  // ID tokens for the client would carry the same `aud` as access tokens for the API.
  if (rows[0]?.is_api) throw refuse(`An API is called ${clientId}; the client needs an id of its own.`);
  // A machine's tokens carry its id as `sub`, and must never be taken for a person's (RFC 9700 §4.15).
  if (rows[0]?.is_person) {
    throw refuse(`${clientId} is the subject identifier of a person; the client needs an id of its own.`);
  }
}

function refuse(message: string): AppError {
  return new AppError('invalid_client', 400, message);
}
