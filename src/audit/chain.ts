import { hash } from 'node:crypto';

/*
 * The hash chain, pure: no database, no clock. A row's hash covers the hash before it and the row's canonical form;
 * its position (seq) follows from the chain and needs no cover. Personal details are covered through a salted digest:
 * erase details and salt, and the chain still verifies while nobody can test a guess (an address has few values).
 */

/** What the hash covers. Field order in here is irrelevant; the order in `canonicalForm` is for ever. */
export interface ChainedFields {
  id: string;
  /** ISO 8601 in UTC with six decimals, as PostgreSQL keeps it: 2026-01-31T23:59:59.123000Z */
  at: string;
  type: string;
  outcome: string;
  actorKind: string | null;
  actorId: string | null;
  accountId: string | null;
  clientId: string | null;
  sessionUid: string | null;
  grantId: string | null;
  requestId: string | null;
  payload: unknown;
  personalDigest: string | null;
}

/** The `prev_hash` of the first row. */
export const GENESIS_HASH = '';

/** SHA-256 of the previous hash and the row, base64url. The database's `audit_flush` makes the same. */
export function chainHash(previousHash: string, row: ChainedFields): string {
  return hash('sha256', `${previousHash}\n${canonicalForm(row)}`, 'base64url');
}

/** What the hash covers, as a JSON array. */
export function canonicalForm(row: ChainedFields): string {
  return canonicalJson([
    1,
    row.id,
    row.at,
    row.type,
    row.outcome,
    row.actorKind,
    row.actorId,
    row.accountId,
    row.clientId,
    row.sessionUid,
    row.grantId,
    row.requestId,
    row.payload,
    row.personalDigest,
  ]);
}

/** SHA-256 of salt and details, base64url. */
export function personalDigest(salt: string, personal: unknown): string {
  return hash('sha256', `${salt}\n${canonicalJson(personal)}`, 'base64url');
}

/** A time with the precision that PostgreSQL keeps. */
export function canonicalTime(at: Date): string {
  return at.toISOString().replace('Z', '000Z');
}

/** JSON with sorted keys and no white space: one text for one value, also after a way through `jsonb`. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  let text = '';
  if (Array.isArray(value)) {
    for (const item of value) text += `${text === '' ? '' : ','}${canonicalJson(item)}`;
    return `[${text}]`;
  }
  for (const name of Object.keys(value).sort()) {
    const field = (value as Record<string, unknown>)[name];
    if (field !== undefined)
      text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonicalJson(field)}`;
  }
  return `{${text}}`;
}

/** The same value with every text storable as `jsonb`: no NUL, no half of a surrogate pair. */
export function storable(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('\u0000', '\uFFFD').toWellFormed();
  if (Array.isArray(value)) return value.map(storable);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, storable(field)]));
  return value;
}
