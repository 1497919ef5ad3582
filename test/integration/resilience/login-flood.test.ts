import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  registerApplication,
  registerPerson,
  tokenRequest,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

const VISITORS = 24;
const QUEUE_LENGTH = 4;

let server: TestServer;

beforeAll(async () => {
  server = await startGatehouse({
    env: {
      GATEHOUSE_PASSWORD_WORKERS: '1',
      GATEHOUSE_PASSWORD_QUEUE_LENGTH: String(QUEUE_LENGTH),
      // A tenth of a second for each, or more.
      GATEHOUSE_PASSWORD_MEMORY_KIB: '32768',
      GATEHOUSE_PASSWORD_ITERATIONS: '2',
      // The address is not what is tried here.
      GATEHOUSE_THROTTLE_ADDRESS_FREE_FAILURES: '1000',
    },
  });
}, 60_000);
afterAll(() => server?.stop());

describe('more sign-ins at once than can be hashed', () => {
  it('are told to come again at once, while every token request succeeds', async () => {
    const application = await registerApplication(server);
    const machine = await registerApplication(server, {
      grantTypes: ['client_credentials'],
      redirectUris: [],
      scopes: [],
    });
    const { email, password } = await registerPerson(server);
    const visitors = await Promise.all(
      Array.from({ length: VISITORS }, async () => {
        const person = createPerson(server.issuer);
        return { person, page: await person.open(authorizationRequest(server, application).url) };
      }),
    );

    const flood = { isOver: false };
    const submitting = Promise.all(
      visitors.map(({ person, page }) => person.submit(page, { identifier: email, password }, '/login')),
    ).finally(() => {
      flood.isOver = true;
    });
    const statuses: number[] = [];
    while (!flood.isOver) {
      const response = await tokenRequest(server, machine, { grant_type: 'client_credentials' });
      statuses.push(response.status);
    }
    const visited = await submitting;

    expect(statuses.every((status) => status === 200)).toBe(true);
    const signedIn = visited.filter(({ isAway, url }) => isAway && url.searchParams.has('code'));
    const turnedAway = visited.filter(({ status }) => status === 503);
    expect(signedIn.length + turnedAway.length).toBe(VISITORS);
    expect(signedIn.length).toBeGreaterThan(0);
    expect(turnedAway.length).toBeGreaterThan(0);
    // While a few were hashed, tokens were issued one after the other: more of them than sign-ins.
    expect(statuses.length).toBeGreaterThan(signedIn.length);
    for (const { headers, html } of turnedAway) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(html).toContain('name="password"');
    }

    const patient = visitors.find((_, index) => visited[index]?.status === 503);
    const later = await patient!.person.submit(patient!.page, { identifier: email, password }, '/login');
    expect(later.isAway && later.url.searchParams.has('code')).toBe(true);
    const { events } = await server.subjects.audit.list({ types: ['sign_in.busy'], limit: 100 });
    expect(events).toHaveLength(turnedAway.length);
  }, 120_000);
});
