/** Whatever is refused leaves a record that names the reason, and nothing that was in the request. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { authorizationRequest, registerApplication, type Application } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { sendRaw } from '../../support/raw-http.ts';
import { recordedOf } from '../../support/recorded.ts';

let server: TestServer;
let application: Application;
beforeAll(async () => {
  server = await startGatehouse();
  application = await registerApplication(server);
});
afterAll(() => server.stop());

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const SECRET = 'hunter2-is-no-password';

describe('a refused form', () => {
  it.each<[string, { path?: string; body: string; isCookieLost?: boolean }, object]>([
    [
      'with a field that the page does not have',
      { body: `identifier=ann&password=${SECRET}&${SECRET}=1` },
      { error: 'form_invalid', status: 400, reason: 'unrecognized_keys' },
    ],
    [
      'with a field twice',
      { body: `identifier=ann&password=${SECRET}&password=${SECRET}` },
      { error: 'form_invalid', status: 400, reason: 'password: invalid_type' },
    ],
    ['that was left empty', { body: 'identifier=&password=' }, { error: 'form_incomplete', status: 422 }],
    [
      'that is far too long',
      { body: `identifier=${'a'.repeat(20_000)}&password=${SECRET}` },
      { error: 'form_too_large', status: 413 },
    ],
    [
      'without its cookie',
      { body: `identifier=ann&password=${SECRET}`, isCookieLost: true },
      { error: 'cookie_missing', status: 400 },
    ],
    [
      'of an interaction that ended',
      { path: '/interaction/AAAAAAAAAAAAAAAAAAAAA', body: `identifier=ann&password=${SECRET}` },
      { error: 'interaction_ended', status: 410 },
    ],
  ])('%s is on record with its reason', async (_name, { path, body, isCookieLost }, payload) => {
    const person = createPerson(server.issuer);
    const page = await person.open(authorizationRequest(server, application).url);
    if (isCookieLost) person.cookies.clear();
    const response = await person.request(`${path ?? page.url.pathname}/login`, {
      method: 'POST',
      headers: FORM,
      body,
    });
    const records = await recordedOf(server, response);
    expect(records).toMatchObject([
      { type: 'request.refused', outcome: 'failure', payload: { method: 'POST', ...payload } },
    ]);
    expect(records[0]!.payload).toHaveProperty('route', '/interaction/:id/login');
    expect(JSON.stringify(records)).not.toContain(SECRET);
  });

  it('is told in a record only: the page says what to do, not what was wrong inside', async () => {
    const person = createPerson(server.issuer);
    const page = await person.open(authorizationRequest(server, application).url);
    const response = await person.request(`${page.url.pathname}/login`, {
      method: 'POST',
      headers: FORM,
      body: 'identifier=ann&password=x&more=1',
    });
    const html = await response.text();
    expect(html).toContain('reload the page');
    expect(html).not.toContain('unrecognized');
  });
});

it('nothing at an address is no refusal, with which anybody could fill the log', async () => {
  const response = await sendRaw(server, { target: '/nowhere' });
  expect(response.status).toBe(404);
  expect(await recordedOf(server, response)).toEqual([]);
});
