import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import type { NewClient } from '../../../src/clients/service.ts';
import { registerPerson, type Application } from '../../support/application.ts';
import { answer, ask, asked, errorOf, openApprovals, poll, registerDesk } from '../../support/ciba.ts';
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { startPingReceiver, type PingReceiver } from '../../support/ping-receiver.ts';

const TOKEN = 'a-token-that-the-client-made-up';

let server: TestServer;
let clock: ShiftedClock;
let receiver: PingReceiver;

beforeAll(async () => {
  clock = createShiftedClock();
  server = await startGatehouse({
    store: 'redis',
    clock,
    env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' },
  });
});
afterAll(() => server.stop());
beforeEach(async () => {
  receiver = await startPingReceiver();
});
afterEach(() => receiver.close());

function told(input: Partial<NewClient> = {}): Promise<Application> {
  return registerDesk(server, {
    backchannelTokenDeliveryMode: 'ping',
    backchannelClientNotificationEndpoint: receiver.url,
    ...input,
  });
}

async function answered(application: Application, decision: 'approve' | 'deny'): Promise<string> {
  const credentials = await registerPerson(server);
  const person = createPerson(server.issuer);
  const { auth_req_id: id } = await asked(server, application, {
    login_hint: credentials.email,
    client_notification_token: TOKEN,
    requested_expiry: '120',
  });
  await answer(person, await openApprovals(server, person, credentials), decision);
  return id;
}

async function eventsOf({ clientId }: Application): Promise<string[]> {
  const { rows } = await server.database.db.query<{ type: string }>(
    `select type from audit_events where client_id = $1 and type like 'approval_ping.%' order by at, id`,
    [clientId],
  );
  return rows.map(({ type }) => type);
}

describe('a client in ping mode', () => {
  it.each<['approve' | 'deny', string | undefined]>([
    ['approve', undefined],
    ['deny', 'access_denied'],
  ])('is told by its own token after "%s", and fetches the answer', async (decision, error) => {
    const application = await told();
    const id = await answered(application, decision);
    await eventually(async () => expect(receiver.pings).toHaveLength(1));
    expect(receiver.pings[0]).toEqual({
      authorization: `Bearer ${TOKEN}`,
      contentType: 'application/json',
      body: JSON.stringify({ auth_req_id: id }),
    });
    const response = await poll(server, application, id);
    if (error === undefined) expect(response.status).toBe(200);
    else expect(await errorOf(response)).toBe(error);
    await eventually(async () => expect(await eventsOf(application)).toEqual(['approval_ping.delivered']));
  });

  it('is told again with growing pauses where it does not answer well, and may poll meanwhile', async () => {
    receiver.answerWith(500, 503, 204);
    const application = await told();
    const id = await answered(application, 'approve');
    await eventually(async () => expect(receiver.pings).toHaveLength(1));
    expect((await poll(server, application, id)).status).toBe(200);
    for (const attempt of [2, 3]) {
      clock.advanceSeconds(10);
      await eventually(async () => expect(receiver.pings).toHaveLength(attempt));
    }
    await eventually(async () =>
      expect(await eventsOf(application)).toEqual([
        'approval_ping.failed',
        'approval_ping.failed',
        'approval_ping.delivered',
      ]),
    );
  });

  it('is given up when its request would have expired', async () => {
    receiver.answerWith(500);
    const application = await told();
    await answered(application, 'approve');
    await eventually(async () => expect(receiver.pings).toHaveLength(1));
    clock.advanceSeconds(121);
    await eventually(async () => expect((await eventsOf(application)).at(-1)).toBe('approval_ping.given_up'));
    const { rows } = await server.database.db.query('select 1 from approval_pings where client_id = $1', [
      application.clientId,
    ]);
    expect(rows).toEqual([]);
  });

  it('never is where our own network would be asked', async () => {
    const application = await told({
      backchannelClientNotificationEndpoint: 'https://10.0.0.1/approved',
    });
    const id = await answered(application, 'approve');
    await eventually(async () => expect(await eventsOf(application)).toEqual(['approval_ping.failed']));
    const { rows } = await server.database.db.query<{ reason: string }>(
      `select payload ->> 'reason' as reason from audit_events
        where client_id = $1 and type = 'approval_ping.failed'`,
      [application.clientId],
    );
    expect(rows[0]?.reason).toBe('address_refused');
    expect((await poll(server, application, id)).status).toBe(200);
  });

  it.each([
    ['no token', undefined],
    ['a token that is none', 'not a token'],
    ['a token that is too long', 'a'.repeat(1025)],
  ])('is refused with %s to be told with', async (_, token) => {
    const { email } = await registerPerson(server);
    const response = await ask(server, await told(), {
      login_hint: email,
      ...(token === undefined ? {} : { client_notification_token: token }),
    });
    expect([response.status, await errorOf(response)]).toEqual([400, 'invalid_request']);
  });

  it('has nothing in the database that could be presented', async () => {
    const application = await told();
    const { email } = await registerPerson(server);
    const { auth_req_id: id } = await asked(server, application, {
      login_hint: email,
      client_notification_token: TOKEN,
    });
    const { rows } = await server.database.db.query<{ row: string }>(
      'select r::text as row from approval_requests r where client_id = $1',
      [application.clientId],
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.row).not.toContain(id);
    expect(rows[0]?.row).not.toContain(TOKEN);
  });
});
