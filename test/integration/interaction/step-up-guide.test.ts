/** An API that asks for more, and an application that gets it from the person (RFC 9470): the guide's two programs. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import { ask, machineToken, redeemFor, refreshFor, tokensOf } from '../../support/apis.ts';
import { OPERATOR, registerApplication, registerPerson, introspect } from '../../support/application.ts';
import { codeAt, enrol } from '../../support/authenticator.ts';
import { createShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guide, type Guides } from '../../support/guides.ts';
import { createPerson } from '../../support/person.ts';

const PAYMENTS = 'https://payments.example.com';
const CHALLENGE = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="300"';

const clock = createShiftedClock();
let server: TestServer;
let guides: Guides;
let guide: Guide;
beforeAll(async () => {
  server = await startGatehouse({ clock });
  guides = await openGuides(server);
  guide = await guides.follow('step-up');
}, 120_000);
beforeEach(async () => {
  await guide.start('node payments.mjs').printed(/Payments are at/);
});
afterEach(async () => {
  await guides.stopPrograms();
});
afterAll(async () => {
  await guides.close();
  await server.stop();
});

type Who = Awaited<ReturnType<typeof registerPerson>>;

async function payer(): Promise<Who> {
  const who = await registerPerson(server);
  await server.subjects.rbac.grantRole(who.account.id, 'payer', OPERATOR);
  return who;
}

const call = async (method: string, token: string): Promise<[number, string | null]> => {
  const response = await fetch(guides.next, { method, headers: { authorization: `Bearer ${token}` } });
  return [response.status, response.headers.get('www-authenticate')];
};

describe('the API', () => {
  it('lets a password look, and asks for more before it pays', async () => {
    const application = await registerApplication(server);
    const visitor = { application, person: createPerson(server.issuer), credentials: await payer() };
    const asked = await ask(server, visitor, { resource: PAYMENTS, scope: 'openid payments:make' });
    const tokens = await tokensOf(await redeemFor(server, application, asked, PAYMENTS));
    expect(await call('GET', tokens.access_token)).toEqual([200, null]);
    expect(await call('POST', tokens.access_token)).toEqual([401, CHALLENGE]);

    const again = { resource: PAYMENTS };
    const refreshed = await tokensOf(await refreshFor(server, application, tokens.refresh_token!, again));
    expect(await call('POST', refreshed.access_token)).toEqual([401, CHALLENGE]);
    const told = { acr: 'aal1', auth_time: expect.any(Number) };
    expect(decodeJwt(refreshed.access_token)).toMatchObject(told);
    expect(await introspect(server, application, refreshed.access_token)).toMatchObject(told);
  });

  it('takes no machine for a person, and no nonsense for a token', async () => {
    const machine = await registerApplication(server, {
      kind: 'machine',
      redirectUris: [],
      grantTypes: ['client_credentials'],
      scopes: [],
      firstParty: false,
      consent: 'once',
    });
    await server.subjects.apis.permitClient(
      { clientId: machine.clientId, api: PAYMENTS, permissions: ['payments:make'] },
      OPERATOR,
    );
    const { access_token: token } = await tokensOf(
      await machineToken(server, machine, { resource: PAYMENTS }),
    );
    expect(await call('POST', token)).toEqual([401, CHALLENGE]);
    expect(await call('POST', 'nonsense')).toEqual([401, 'Bearer error="invalid_token"']);
  });
});

describe('the shop', () => {
  beforeEach(async () => {
    await guide.start('node shop.mjs').printed(/The shop is at/);
  });

  /** A browser with cookies for both the issuer and the shop. */
  function browse(who: Who & { secret?: string }) {
    const person = createPerson(server.issuer);
    let cookie = '';
    const open = async (address: string, asked: string[], alter = (url: URL) => url): Promise<string> => {
      const response = await fetch(address, { headers: { cookie }, redirect: 'manual' });
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie;
      const location = response.headers.get('location');
      if (!location) return response.text();
      const to = alter(new URL(location, address));
      if (to.origin === new URL(guides.here).origin) return open(to.href, asked);
      let page = await person.open(to.href);
      if (page.html.includes('name="password"')) {
        asked.push('password');
        page = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
      }
      if (page.html.includes('/totp?')) {
        asked.push('code');
        page = await person.submit(page, { code: codeAt(who.secret ?? '') }, '/totp');
      }
      if (!page.isAway) throw new Error(`stuck at ${page.url.href}\n${page.html.slice(0, 500)}`);
      return open(page.url.href, asked);
    };
    return {
      visit: async (path: string, alter?: (url: URL) => URL) => {
        const asked: string[] = [];
        return { text: await open(`${guides.here}${path}`, asked, alter), asked };
      },
    };
  }

  it('gets the second factor just when the payment asks for it', async () => {
    const who: Who & { secret?: string } = await payer();
    const browser = browse(who);
    expect(await browser.visit('/')).toEqual({ text: 'You can pay.', asked: ['password'] });
    who.secret = (await enrol(server, who.account)).secret;
    expect(await browser.visit('/pay')).toEqual({ text: 'Paid.', asked: ['code'] });
    expect(await browser.visit('/pay')).toEqual({ text: 'Paid.', asked: [] });
  });

  it('says so where the person came back without it, and does not go round in circles', async () => {
    const browser = browse(await payer());
    await browser.visit('/');
    expect(await browser.visit('/pay', withoutDemand)).toEqual({
      text: 'The payment needs more than you proved. Nothing was paid.',
      asked: [],
    });
  });

  it('gets a new sign-in where the last one is too long ago', async () => {
    const who: Who & { secret?: string } = await payer();
    const browser = browse(who);
    clock.advanceSeconds(-400);
    expect(await browser.visit('/')).toMatchObject({ asked: ['password'] });
    clock.advanceSeconds(400);
    who.secret = (await enrol(server, who.account)).secret;
    expect(await browser.visit('/pay')).toEqual({ text: 'Paid.', asked: ['password', 'code'] });
    expect(await browser.visit('/pay')).toEqual({ text: 'Paid.', asked: [] });
  });
});

/** As somebody who holds the browser may. */
function withoutDemand(url: URL): URL {
  url.searchParams.delete('acr_values');
  url.searchParams.delete('max_age');
  return url;
}
