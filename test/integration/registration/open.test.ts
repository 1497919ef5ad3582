/** Registration without a token, and what it takes when many ask at once. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { initialToken, METADATA, recorded, register } from '../../support/registration.ts';
import { startSecondProcess } from '../../support/second-process.ts';

const INSTALLED = {
  client_name: 'Assistant',
  redirect_uris: ['http://127.0.0.1:9/callback'],
  token_endpoint_auth_method: 'none',
};

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse({
    env: {
      GATEHOUSE_REGISTRATION_ENABLED: 'true',
      GATEHOUSE_REGISTRATION_OPEN: 'true',
      GATEHOUSE_REGISTRATION_ADDRESS_FREE_ATTEMPTS: '20',
      GATEHOUSE_REGISTRATION_MAX_CLIENTS: '8',
    },
  });
}, 60_000);
afterAll(() => server.stop());

it('registers one client for a token of one use, however many ask at once on two processes', async () => {
  const second = await startSecondProcess(server);
  try {
    const { token } = await initialToken(server, { maxUses: 1 });
    const places = [server, second];
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => register(places[index % 2]!, token)),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => ![201, 401, 429].includes(status))).toEqual([]);
    expect(await recorded(server, 'client.registered')).toHaveLength(1);
  } finally {
    await second.stop();
  }
}, 60_000);

it('lets anybody register a public client of people, on their own machine, and waits longer each time', async () => {
  await server.state.db.query('delete from rate_limits');
  const { status, body } = await register(server, undefined, INSTALLED);
  expect([status, body]).toEqual([201, expect.objectContaining({ token_endpoint_auth_method: 'none' })]);
  expect(body).not.toHaveProperty('client_secret');
  for (const metadata of [
    METADATA,
    { ...INSTALLED, redirect_uris: ['https://app.example/callback'] },
    { grant_types: ['client_credentials'] },
    { ...INSTALLED, token_endpoint_auth_method: 'client_secret_basic' },
  ]) {
    expect((await register(server, undefined, metadata)).status).toBe(400);
  }
  const answers = [];
  for (let round = 0; round < 16; round += 1) answers.push(await register(server, undefined, INSTALLED));
  const statuses = new Set(answers.map(({ status: one }) => one));
  // Eight at a time, for so it is set; and of twenty attempts the last begins a pause.
  expect(statuses).toEqual(new Set([201, 503, 429]));
  const throttled = answers.find(({ status: one }) => one === 429);
  expect(Number(throttled?.headers.get('retry-after'))).toBeGreaterThan(0);
  expect((await recorded(server, 'client.registration_throttled')).length).toBeGreaterThan(0);
}, 30_000);
