import type { Queryable } from '../platform/database.ts';
import {
  type AuthorizationType,
  type AuthorizationTypeDefinition,
  parseFields,
} from './authorization-type.ts';

interface TypeRow {
  type: string;
  api: string;
  api_name: string;
  name: string;
  fields: unknown;
  is_remembered: boolean;
  created_at: Date;
  updated_at: Date;
}

const SELECT = `
  select t.*, apis.name as api_name from authorization_types t join apis on apis.identifier = t.api`;

export async function listTypes(db: Queryable): Promise<AuthorizationType[]> {
  const { rows } = await db.query<TypeRow>(`${SELECT} order by type collate "C"`);
  return rows.map(toType);
}

export async function findType(db: Queryable, type: string): Promise<AuthorizationType | undefined> {
  const { rows } = await db.query<TypeRow>(`${SELECT} where type = $1`, [type]);
  return rows[0] && toType(rows[0]);
}

/** Takes the row's lock, so that two changes of one type come one after the other. */
export async function lockType(tx: Queryable, type: string): Promise<AuthorizationType | undefined> {
  await tx.query('select 1 from authorization_types where type = $1 for update', [type]);
  return findType(tx, type);
}

export async function insertType(
  tx: Queryable,
  { type, api, now, ...definition }: AuthorizationTypeDefinition & { type: string; api: string; now: Date },
): Promise<void> {
  await tx.query(
    `insert into authorization_types (type, api, name, fields, is_remembered, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $6)`,
    [type, api, definition.name, JSON.stringify(definition.fields), definition.isRemembered, now],
  );
}

export async function updateType(
  tx: Queryable,
  { type, now, ...definition }: AuthorizationTypeDefinition & { type: string; now: Date },
): Promise<void> {
  await tx.query(
    `update authorization_types set name = $2, fields = $3, is_remembered = $4, updated_at = $5
      where type = $1`,
    [type, definition.name, JSON.stringify(definition.fields), definition.isRemembered, now],
  );
}

export async function deleteType(tx: Queryable, type: string): Promise<void> {
  await tx.query('delete from authorization_types where type = $1', [type]);
}

/** What people were asked in other words than those of now is asked again. */
export async function forgetConsents(tx: Queryable, type: string): Promise<void> {
  await tx.query('delete from consent_details where type = $1', [type]);
}

function toType(row: TypeRow): AuthorizationType {
  return {
    type: row.type,
    api: row.api,
    apiName: row.api_name,
    name: row.name,
    fields: parseFields(row.fields),
    isRemembered: row.is_remembered,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
