/** What a client asks of a sign-in where its requests do not say (OIDC Registration §2). */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import type { NewClient } from '../../../src/clients/service.ts';
import { tokensOf } from '../../support/apis.ts';
import {
  authorizationRequest,
  codeOf,
  redeem,
  registerApplication,
  registerPerson,
} from '../../support/application.ts';
import { codeAt, enrol } from '../../support/authenticator.ts';
import { createShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

const clock = createShiftedClock();
let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse({ clock });
});
afterAll(() => server.stop());

/** A person, and what they are asked for on the way to that client. */
async function visitor() {
  const who = await registerPerson(server);
  const person = createPerson(server.issuer);
  let secret = '';
  const signIn = async (client: Partial<NewClient>, parameters: Record<string, string> = {}) => {
    const application = await registerApplication(server, client);
    const request = authorizationRequest(server, application, parameters);
    const asked: string[] = [];
    let page = await person.open(request.url);
    if (page.html.includes('name="password"')) {
      asked.push('password');
      page = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
    }
    if (page.html.includes('/totp?')) {
      asked.push('code');
      page = await person.submit(page, { code: codeAt(secret) }, '/totp');
    }
    if (!page.isAway) return { asked, stands: page.html.includes('/enrol?') ? 'enrol' : page.url.href };
    const grant = { code: codeOf(page), verifier: request.verifier };
    const { id_token: idToken = '' } = await tokensOf(await redeem(server, application, grant));
    return { asked, acr: decodeJwt(idToken)['acr'] };
  };
  return {
    signIn,
    enrol: async () => {
      ({ secret } = await enrol(server, who.account));
    },
  };
}

it('default_acr_values asks for the second factor, and acr_values of a request goes before it', async () => {
  const { signIn, enrol: enrolNow } = await visitor();
  const client: Partial<NewClient> = { defaultAcrValues: ['aal2'] };
  expect(await signIn({})).toEqual({ asked: ['password'], acr: 'aal1' });
  expect(await signIn(client)).toEqual({ asked: [], stands: 'enrol' });
  expect(await signIn(client, { acr_values: 'aal1' })).toEqual({ asked: [], acr: 'aal1' });
  expect(await signIn({ defaultAcrValues: ['aal1', 'aal2'] })).toEqual({ asked: [], acr: 'aal1' });
  await enrolNow();
  expect(await signIn(client)).toEqual({ asked: ['code'], acr: 'aal2' });
});

it('default_max_age asks for a younger sign-in, and max_age of a request goes before it', async () => {
  const { signIn } = await visitor();
  clock.advanceSeconds(-600);
  expect(await signIn({})).toMatchObject({ asked: ['password'] });
  clock.advanceSeconds(600);
  expect(await signIn({ defaultMaxAge: 3_600 })).toMatchObject({ asked: [] });
  expect(await signIn({ defaultMaxAge: 300 }, { max_age: '3600' })).toMatchObject({ asked: [] });
  expect(await signIn({ defaultMaxAge: 300 })).toMatchObject({ asked: ['password'] });
  expect(await signIn({ defaultMaxAge: 300 })).toMatchObject({ asked: [] });
});
