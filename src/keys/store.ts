import type { JWK } from 'jose';

import type { Queryable } from '../platform/database.ts';
import type { Sealer } from '../platform/seal.ts';
import type { GeneratedKey } from './generate.ts';
import type { Ending } from './keyset.ts';
import type { KeyTimes, SigningAlg } from './signing-key.ts';

/** Serialises everything that changes keys; any number that nothing else locks: "keys" in ASCII. */
const LOCK_ID = 0x6b657973;

export interface StoredKey extends KeyTimes {
  publicJwk: JWK;
  /** Absent when the key has left the JWKS for good. */
  privateJwkSealed?: string;
  createdAt: Date;
  /** A signing service holds the private part. */
  isExternal: boolean;
}

interface KeyRow {
  kid: string;
  alg: SigningAlg;
  public_jwk: JWK;
  private_jwk_sealed: string | null;
  created_at: Date;
  activates_at: Date;
  retires_at: Date | null;
  removes_at: Date | null;
  is_external: boolean;
}

/** Makes whoever changes keys wait for whoever is at it; ends with the transaction. */
export async function lockKeys(tx: Queryable): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [LOCK_ID]);
}

/** Newest first. */
export async function listKeys(db: Queryable): Promise<StoredKey[]> {
  const { rows } = await db.query<KeyRow>(
    'select * from signing_keys order by created_at desc, activates_at desc, kid',
  );
  return rows.map(toStoredKey);
}

/** Those that still have something to do. */
export async function listLiveKeys(db: Queryable, now: Date): Promise<StoredKey[]> {
  const { rows } = await db.query<KeyRow>(
    `select * from signing_keys
     where (removes_at is null or removes_at > $1) and (private_jwk_sealed is not null or is_external)
     order by created_at desc, activates_at desc, kid`,
    [now],
  );
  return rows.map(toStoredKey);
}

export async function insertKey(
  tx: Queryable,
  sealer: Sealer,
  { kid, publicJwk, privateJwk }: GeneratedKey,
  { alg, createdAt, activatesAt }: { alg: SigningAlg; createdAt: Date; activatesAt: Date },
): Promise<void> {
  await tx.query(
    `insert into signing_keys (kid, alg, public_jwk, private_jwk_sealed, created_at, activates_at, is_external)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [
      kid,
      alg,
      publicJwk,
      privateJwk ? sealer.seal(JSON.stringify(privateJwk), sealContextOf(kid)) : null,
      createdAt,
      activatesAt,
      privateJwk === undefined,
    ],
  );
}

export async function activateKey(tx: Queryable, kid: string, activatesAt: Date): Promise<void> {
  await tx.query('update signing_keys set activates_at = $2 where kid = $1', [kid, activatesAt]);
}

export async function endKey(tx: Queryable, { kid, retiresAt, removesAt }: Ending): Promise<void> {
  await tx.query('update signing_keys set retires_at = $2, removes_at = $3 where kid = $1', [
    kid,
    retiresAt,
    removesAt,
  ]);
}

/** Takes an end back: nothing follows the key any more. */
export async function reopenKey(tx: Queryable, kid: string): Promise<void> {
  await tx.query('update signing_keys set retires_at = null, removes_at = null where kid = $1', [kid]);
}

/** Forgets the private parts of keys that left the JWKS before that time; the rows stay as history. */
export async function erasePrivateParts(tx: Queryable, before: Date): Promise<void> {
  await tx.query(
    'update signing_keys set private_jwk_sealed = null where removes_at < $1 and private_jwk_sealed is not null',
    [before],
  );
}

/** @throws where none of the sealer's keys fits */
export function openPrivateJwk(sealer: Sealer, { kid, privateJwkSealed }: StoredKey): JWK {
  if (privateJwkSealed === undefined) throw new Error(`the private part of signing key ${kid} is erased`);
  try {
    return JSON.parse(sealer.open(privateJwkSealed, sealContextOf(kid)).toString()) as JWK;
  } catch (cause) {
    throw new Error(
      `Signing key ${kid} cannot be opened: is the secret key the one it was sealed with, or among the previous ones?`,
      { cause },
    );
  }
}

export function sealContextOf(kid: string): string {
  return `key:${kid}`;
}

function toStoredKey(row: KeyRow): StoredKey {
  return {
    kid: row.kid,
    alg: row.alg,
    publicJwk: row.public_jwk,
    createdAt: row.created_at,
    isExternal: row.is_external,
    activatesAt: row.activates_at,
    ...(row.private_jwk_sealed !== null && { privateJwkSealed: row.private_jwk_sealed }),
    ...(row.retires_at !== null && { retiresAt: row.retires_at }),
    ...(row.removes_at !== null && { removesAt: row.removes_at }),
  };
}
