import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { decodeJwt } from 'jose';

import { OPERATOR, signedIn } from '../../support/application.ts';
import { runCli } from '../../support/cli.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouseProcess } from '../../support/gatehouse-process.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { startLogoutReceiver, type LogoutReceiver } from '../../support/logout-receiver.ts';
import { startSecondProcess } from '../../support/second-process.ts';

const OUTGOING = {
  GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.0/8',
  GATEHOUSE_OUTGOING_TIMEOUT_MS: '3000',
};
let server: TestServer;
let receiver: LogoutReceiver;

beforeAll(async () => {
  server = await startGatehouse({ env: OUTGOING });
});
afterAll(() => server.stop());
beforeEach(async () => {
  receiver = await startLogoutReceiver();
});
afterEach(() => receiver.close());

async function delivered(): Promise<number> {
  const { rows } = await server.database.db.query<{ count: number }>(
    `select count(*)::int as count from audit_events where type = 'logout_notice.delivered'`,
  );
  return rows[0]!.count;
}

it('two processes deliver each notice once', async () => {
  const second = await startSecondProcess(server);
  try {
    const before = await delivered();
    const people = await Promise.all(
      Array.from({ length: 12 }, () =>
        signedIn(server, { backchannelLogoutUri: `${receiver.origin}/backchannel` }),
      ),
    );
    await Promise.all(
      people.map(({ credentials }) => server.subjects.signOut.everywhere(credentials.account, OPERATOR)),
    );
    await receiver.until(people.length);
    await eventually(async () => expect((await delivered()) - before).toBe(people.length));
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(new Set(receiver.tokens.map((token) => decodeJwt(token).sub))).toEqual(
      new Set(people.map(({ credentials }) => credentials.account.sub)),
    );
    expect(receiver.tokens).toHaveLength(people.length);
  } finally {
    await second.stop();
  }
}, 60_000);

it('what the command line signs out while no server runs is told by the next one', async () => {
  const { application, credentials, tokens } = await signedIn(server, {
    backchannelLogoutUri: `${receiver.origin}/backchannel`,
  });
  // This server is the only one, and is kept from looking.
  await server.database.db.query('update logout_cursor set seq = 9000000000000000');
  const { rows } = await server.database.db.query<{ seq: string }>('select seq from audit_head');
  const { code, json, stderr } = await runCli(
    ['users', 'sign-out', credentials.email, '--offline', '--json'],
    { env: server.env },
  );
  expect({ code, stderr, done: json() }).toEqual({
    code: 0,
    stderr: '',
    done: { sessions: 1, applications: 1, offline_grants: 1 },
  });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(receiver.tokens).toEqual([]);

  await server.database.db.query('update logout_cursor set seq = $1', [rows[0]?.seq]);
  await receiver.until(1);
  expect(decodeJwt(receiver.tokens[0] ?? '')).toMatchObject({
    aud: application.clientId,
    sid: decodeJwt(tokens.id_token ?? '')['sid'],
  });
});

it('a server that is killed while it delivers leaves the notice to the next one', async () => {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'gh-killed-'));
  // Its people sign in here; who is stopped first can deliver nothing.
  const first = await startGatehouse({ env: OUTGOING });
  const { credentials } = await signedIn(first, { backchannelLogoutUri: `${receiver.origin}/backchannel` });
  const env = {
    ...first.env,
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_LOG_LEVEL: 'info',
    GATEHOUSE_LOG_FORMAT: 'json',
  };
  await first.stopAlone();
  try {
    receiver.answerWith('hang');
    const killed = await startGatehouseProcess(env);
    await runCli(['users', 'sign-out', credentials.email], { env });
    await receiver.until(1);
    killed.child.kill('SIGKILL');
    await killed.stop();

    receiver.answerWith(200);
    const next = await startGatehouseProcess(env);
    try {
      await receiver.until(2, 40_000);
      await eventually(async () => {
        const { rows } = await first.database.db.query(
          `select payload from audit_events where type = 'logout_notice.delivered'`,
        );
        expect(rows).toEqual([{ payload: { attempt: 1, status: 200 } }]);
      });
    } finally {
      await next.stop();
    }
  } finally {
    await first.database.drop();
    await rm(dataDir, { recursive: true, force: true });
  }
}, 120_000);
