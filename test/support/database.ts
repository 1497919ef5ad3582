import { createDatabase, type Database } from '../../src/platform/database.ts';
import { digest } from '../../src/platform/ids.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

const MIGRATIONS = path.join(import.meta.dirname, '..', '..', 'migrations');

export interface TestDatabase {
  db: Database;
  connectionString: string;
  name: string;
  drop: () => Promise<void>;
}

/** Where the tests' PostgreSQL answers; the runner sets it (see run.ts) or the developer. */
function testDatabaseUrl(): string {
  const url = process.env['GATEHOUSE_TEST_DATABASE_URL'];
  if (!url) throw new Error('GATEHOUSE_TEST_DATABASE_URL is not set: run the tests through `npm test`');
  return url;
}

/** A database of its own for one test file, cloned from a template that was migrated once. */
export async function createTestDatabase({ maxConnections = 10 } = {}): Promise<TestDatabase> {
  const admin = createDatabase({ connection: { connectionString: testDatabaseUrl() }, maxConnections: 1 });
  try {
    const template = await ensureTemplate(admin);
    const name = `gh_test_${process.pid}_${Date.now().toString(36)}_${Math.random().toString(36).slice(2, 8)}`;
    // PostgreSQL refuses to copy a template that another worker is copying at that moment: take turns.
    await admin.transaction(async (tx) => {
      await tx.query('select pg_advisory_xact_lock(4242)');
      await cloneOutsideTransaction(name, template);
    });
    const connectionString = withDatabase(testDatabaseUrl(), name);
    const db = createDatabase({ connection: { connectionString }, maxConnections });
    return {
      db,
      connectionString,
      name,
      drop: async () => {
        await db.close();
        await runAsAdmin(`drop database if exists ${name} with (force)`);
      },
    };
  } finally {
    await admin.close();
  }
}

async function cloneOutsideTransaction(name: string, template: string): Promise<void> {
  await runAsAdmin(`create database ${name} template ${template}`);
}

/** The template's name carries the digest of the migrations, so a changed migration makes a new one. */
async function ensureTemplate(admin: Database): Promise<string> {
  const files = (await readdir(MIGRATIONS)).sort();
  const contents = await Promise.all(files.map((file) => readFile(path.join(MIGRATIONS, file), 'utf8')));
  const template = `gh_template_${digest(...files, ...contents)
    .replaceAll(/[^a-zA-Z0-9]/g, '')
    .slice(0, 16)
    .toLowerCase()}`;
  await admin.transaction(async (tx) => {
    await tx.query('select pg_advisory_xact_lock(4243)');
    const { rows } = await tx.query('select 1 from pg_database where datname = $1', [template]);
    if (rows.length > 0) return;
    const building = `${template}_new`;
    await runAsAdmin(`drop database if exists ${building} with (force)`);
    await runAsAdmin(`create database ${building}`);
    const db = createDatabase({
      connection: { connectionString: withDatabase(testDatabaseUrl(), building) },
      maxConnections: 1,
    });
    try {
      await migrate(db);
    } finally {
      await db.close();
    }
    await runAsAdmin(`alter database ${building} rename to ${template}`);
  });
  return template;
}

async function runAsAdmin(statement: string): Promise<void> {
  const db = createDatabase({ connection: { connectionString: testDatabaseUrl() }, maxConnections: 1 });
  try {
    await db.query(statement);
  } finally {
    await db.close();
  }
}

function withDatabase(url: string, name: string): string {
  const result = new URL(url);
  result.pathname = `/${name}`;
  return result.href;
}
