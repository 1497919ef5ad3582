import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import { createTestCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

const BANK = 'https://bank.example';
const FIELDS = [
  { name: 'amount', kind: 'amount', label: 'Amount', required: true },
  { name: 'to', kind: 'group', label: 'To', fields: [{ name: 'iban', kind: 'text', label: 'IBAN' }] },
];
let cli: TestCli;
let folder: string;
const file = (name: string): string => path.join(folder, name);
const types = (...args: string[]) => cli.run(['authorization-types', ...args, '--json']);

beforeAll(async () => {
  cli = await createTestCli();
  folder = await mkdtemp(path.join(os.tmpdir(), 'gh-types-'));
  await cli.run(['apis', 'create', '--identifier', BANK, '--name', 'Bank']);
  await writeFile(file('fields.json'), JSON.stringify(FIELDS));
  await writeFile(file('broken.json'), '[');
  await writeFile(file('stranger.json'), JSON.stringify([{ name: 'x', kind: 'blob', label: 'X' }]));
  const given = ['--type', 'payment', '--api', BANK, '--name', 'Make a payment'];
  const { code, stderr } = await types('create', ...given, '--fields', file('fields.json'));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});
afterAll(async () => {
  await cli.stop();
  await rm(folder, { recursive: true });
});

it('shows a type in the exact form that scripts use, and for people', async () => {
  expect((await types('show', 'payment')).json()).toEqual({
    type: 'payment',
    name: 'Make a payment',
    api: BANK,
    fields: [
      FIELDS[0],
      {
        ...FIELDS[1],
        required: false,
        fields: [{ name: 'iban', kind: 'text', label: 'IBAN', required: false, maxLength: 200 }],
      },
    ],
    remembered: false,
    created_at: expect.any(String),
    updated_at: expect.any(String),
  });
  const { stdout } = await cli.run(['authorization-types', 'show', 'payment']);
  expect(stdout).toMatch(/amount \(Amount; amount, required\)/);
  expect((await cli.run(['authorization-types', 'list'])).stdout).toMatch(/^payment +Make a payment/m);
});

it('changes what is given', async () => {
  expect((await types('update', 'payment', '--name', 'Pay', '--remember')).json()).toMatchObject({
    name: 'Pay',
    remembered: true,
    fields: [{ name: 'amount' }, { name: 'to' }],
  });
  expect((await types('update', 'payment', '--no-remember')).json()).toMatchObject({ remembered: false });
});

it('deletes it', async () => {
  await types('create', '--type', 'other', '--api', BANK, '--name', 'Other');
  expect((await types('delete', 'other')).json()).toEqual({ type: 'other', deleted: true });
});

it.each([
  [['create', '--type', 'payment', '--api', BANK, '--name', 'Again'], 1, 'authorization_type_exists'],
  [['create', '--type', 'x', '--api', BANK], 2, 'misused'],
  [['update', 'nothing', '--name', 'X'], 1, 'authorization_type_not_found'],
])('refuses %j', async (args, code, error) => {
  const outcome = await types(...args);
  expect([outcome.code, outcome.stdout, outcome.error().error]).toEqual([code, '', error]);
});

it.each([
  ['broken.json', 2, 'misused'],
  ['stranger.json', 1, 'invalid_authorization_type'],
])('refuses the fields of %s', async (name, code, error) => {
  const outcome = await types('update', 'payment', '--fields', file(name));
  expect([outcome.code, outcome.error().error]).toEqual([code, error]);
});

it('imports what a sector calls a person, once', async () => {
  const email = 'grace@example.org';
  await cli.run(['users', 'create', '--email', email]);
  const client = ['clients', 'create', '--name', 'Shop', '--redirect-uri', 'https://shop.example/cb'];
  const created = await cli.run([...client, '--subject-type', 'pairwise', '--json']);
  const { client_id: clientId } = created.json<{ client_id: string }>();
  const run = (...args: string[]) =>
    cli.run(['users', 'import-subject', email, '--sub', 'of-old', ...args, '--json']);
  expect((await run('--client', clientId)).json()).toEqual({ sector: 'shop.example', sub: 'of-old' });
  expect((await run('--sector', 'shop.example')).error().error).toBe('sub_taken');
  const known = await cli.run(['users', 'subjects', email]);
  expect(known.stdout).toMatch(/^shop\.example +of-old/m);
});
