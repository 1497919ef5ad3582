/** Single claims, asked for by name (OIDC Core §5.5): what is told, what people are asked, and what is not told. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, type JWTPayload } from 'jose';

import {
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { codeAt, enrol } from '../../support/authenticator.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';

let server: TestServer;
let own: Application;
let foreign: Application;
let who: Awaited<ReturnType<typeof registerPerson>>;
beforeAll(async () => {
  server = await startGatehouse();
  own = await registerApplication(server);
  foreign = await registerApplication(server, { firstParty: false, consent: 'once' });
  who = await registerPerson(server);
});
afterAll(() => server.stop());

const asked = (claims: object, more: Record<string, string | undefined> = {}) => ({
  scope: 'openid',
  claims: JSON.stringify(claims),
  ...more,
});
const errorOf = ({ url }: Visited): string | null => url.searchParams.get('error');

/** The pages of one request, the password typed and consent given where it is asked for. */
async function told(
  application: Application,
  parameters: Record<string, string | undefined>,
  person: Person = createPerson(server.issuer),
): Promise<{ idToken: JWTPayload; userinfo: Record<string, unknown>; consentPage?: string; person: Person }> {
  const request = authorizationRequest(server, application, parameters);
  let page = await authorize(person, request, who);
  const consentPage = page.isAway ? undefined : page.html;
  if (consentPage !== undefined) page = await person.submit(page, { decision: 'allow' }, '/consent');
  const response = await redeem(server, application, { code: codeOf(page), verifier: request.verifier });
  const tokens = (await response.json()) as Tokens;
  const answer = await fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  const userinfo = (await answer.json()) as Record<string, unknown>;
  return {
    idToken: decodeJwt(tokens.id_token ?? ''),
    userinfo,
    person,
    ...(consentPage === undefined ? {} : { consentPage }),
  };
}

describe('what is told', () => {
  it('is what was asked for, where it was asked for, and nothing beside it', async () => {
    const { idToken, userinfo } = await told(
      own,
      asked({ id_token: { email: null, roles: null }, userinfo: { name: { essential: true } } }),
    );
    expect(idToken).toMatchObject({ email: who.email, roles: [] });
    expect(idToken).not.toHaveProperty('name');
    expect(idToken).not.toHaveProperty('email_verified');
    expect(userinfo).toEqual({ sub: who.account.sub, name: 'Ada' });
  });

  it('is not what there is no such claim of, nor what the client may not ask for by scope', async () => {
    const modest = await registerApplication(server, { scopes: ['openid', 'profile'] });
    const { idToken, userinfo } = await told(
      modest,
      asked({
        id_token: { email: { essential: true }, roles: null, shoe_size: null, name: 'yes' },
        userinfo: { email: null, email_verified: null, name: null },
      }),
    );
    for (const claim of ['email', 'roles', 'shoe_size', 'name']) expect(idToken).not.toHaveProperty(claim);
    expect(userinfo).toEqual({ sub: who.account.sub, name: 'Ada' });
  });
});

describe('a person', () => {
  it('is asked about claims that no scope of the request covers, once in a session', async () => {
    const parameters = asked({ id_token: { email: null, name: null } }, { scope: 'openid profile' });
    const first = await told(foreign, parameters);
    expect(first.consentPage).toContain('Your e-mail address');
    expect(first.consentPage).toContain(who.email);
    expect(first.consentPage).not.toContain('Your name');
    expect(first.consentPage).toContain('Your profile');
    expect(first.idToken).toMatchObject({ email: who.email, name: 'Ada' });
    const [granted] = await recordsOf('consent.granted');
    expect(granted).toMatchObject({ scope: 'openid profile', claims: ['email'] });

    expect((await told(foreign, parameters, first.person)).consentPage).toBeUndefined();
    // The scope is remembered, and with it what it covers; a single claim is not.
    expect((await told(foreign, asked({ id_token: { name: null } }))).consentPage).toBeUndefined();
    expect((await told(foreign, parameters)).consentPage).toContain('Your e-mail address');
  });

  it('who was not asked has told nothing', async () => {
    const { person } = await told(foreign, { scope: 'openid profile' });
    const silent = asked({ userinfo: { email: null } }, { prompt: 'none' });
    const page = await person.open(authorizationRequest(server, foreign, silent).url);
    expect(errorOf(page)).toBe('consent_required');
  });

  it('can decline', async () => {
    const person = createPerson(server.issuer);
    const request = authorizationRequest(server, foreign, asked({ userinfo: { email_verified: null } }));
    const page = await authorize(person, request, who);
    expect(page.html).toContain('Whether your e-mail address is verified');
    expect(errorOf(await person.submit(page, { decision: 'deny' }, '/consent'))).toBe('access_denied');
  });
});

describe('how a person must have signed in', () => {
  const acr = (request: object): Record<string, string | undefined> => asked({ id_token: { acr: request } });

  it.each([
    ['one value', { essential: true, value: 'aal2' }],
    ['one of several', { essential: true, values: ['urn:example:gold', 'aal2'] }],
    ['a wish', { value: 'aal2' }],
  ])('two factors, as %s', async (_name, request) => {
    const person = createPerson(server.issuer);
    const two = await registerPerson(server);
    await authorize(person, authorizationRequest(server, own), two);
    const { secret } = await enrol(server, two.account);
    const start = authorizationRequest(server, own, acr(request));
    const page = await person.open(start.url);
    expect(page.html).toContain('/totp?');
    const done = await person.submit(page, { code: codeAt(secret, 0) }, '/totp');
    const response = await redeem(server, own, { code: codeOf(done), verifier: start.verifier });
    expect(decodeJwt(((await response.json()) as Tokens).id_token ?? '')['acr']).toBe('aal2');
  });

  it('is for a silent request to find out', async () => {
    const { person } = await told(own, { scope: 'openid' });
    const silent = { ...acr({ essential: true, value: 'aal2' }), prompt: 'none' };
    const page = await person.open(authorizationRequest(server, own, silent).url);
    expect(errorOf(page)).toBe('interaction_required');
  });

  it('two factors are right for whoever insists on one', async () => {
    const { idToken } = await told(own, acr({ essential: true, values: ['aal1'] }));
    expect(idToken['acr']).toBe('aal1');
  });

  it.each([
    ['essential', { essential: true, values: ['urn:example:gold'] }, 'unmet_authentication_requirements'],
    ['essential, one', { essential: true, value: 'phr' }, 'unmet_authentication_requirements'],
    ['as a wish', { values: ['urn:example:gold'] }, null],
    ['as anything', { essential: true }, null],
  ])('a class that is none of ours, %s', async (_name, request, error) => {
    const { person } = await told(own, { scope: 'openid' });
    expect(errorOf(await person.open(authorizationRequest(server, own, acr(request)).url))).toBe(error);
  });
});

describe('who must be signed in', () => {
  const bySub = (sub: string) => asked({ id_token: { sub: { value: sub } } });

  it.each(['claims', 'id_token_hint'])('is found out by %s', async (way) => {
    const other = await registerPerson(server);
    const { person } = await told(own, { scope: 'openid' });
    const hintOf = async (credentials: typeof who): Promise<string> => {
      const request = authorizationRequest(server, own);
      const code = codeOf(await authorize(createPerson(server.issuer), request, credentials));
      const response = await redeem(server, own, { code, verifier: request.verifier });
      return ((await response.json()) as Tokens).id_token ?? '';
    };
    const demand = async (credentials: typeof who): Promise<Record<string, string | undefined>> =>
      way === 'claims' ? bySub(credentials.account.sub) : { id_token_hint: await hintOf(credentials) };
    const open = async (parameters: Record<string, string | undefined>): Promise<Visited> =>
      person.open(authorizationRequest(server, own, parameters).url);

    expect(codeOf(await open(await demand(who)))).toBeTruthy();
    const wanted = await demand(other);
    expect(errorOf(await open({ ...wanted, prompt: 'none' }))).toBe('login_required');
    // Asked once: whoever then is somebody else still, is no answer.
    const page = await open(wanted);
    expect(page.html).toContain('name="password"');
    const again = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
    expect(errorOf(again)).toBe('login_required');
    const anew = await open(wanted);
    const right = { identifier: other.email, password: other.password };
    const switched = await person.submit(anew, right, '/login');
    // The session of whoever was there before ends first.
    const ended = await person.submit(switched, {}, '/logout/confirm');
    expect(codeOf(ended)).toBeTruthy();
  });
});

it.each<[string, string]>([
  ['no JSON', '{'],
  ['a list', '[]'],
  ['null', 'null'],
  ['a word', '"email"'],
  ['neither userinfo nor id_token', '{"access_token":{}}'],
  ['a list of claims', '{"userinfo":["email"]}'],
  ['an acr of a number', '{"id_token":{"acr":{"value":2}}}'],
  ['acr values that are a word', '{"id_token":{"acr":{"essential":true,"values":"aal2"}}}'],
  ['an essential that is a word', '{"id_token":{"acr":{"essential":"yes","values":["aal2"]}}}'],
])('claims are refused that are %s', async (_name, claims) => {
  const { person } = await told(own, { scope: 'openid' });
  const page = await person.open(authorizationRequest(server, own, { scope: 'openid', claims }).url);
  expect(errorOf(page)).toBe('invalid_request');
});

it.each<[string, string]>([
  ['a name from the prototype', '{"id_token":{"__proto__":null,"constructor":null,"toString":{}}}'],
  ['a sub that is a word', '{"id_token":{"sub":"somebody"}}'],
  ['a request that is a list', '{"userinfo":{"email":[]}}'],
])('%s is passed over', async (_name, claims) => {
  const { userinfo } = await told(own, { scope: 'openid', claims });
  expect(userinfo).toEqual({ sub: who.account.sub });
});

it('what is nested beyond the stack is passed over', async () => {
  const deep = `${'['.repeat(8_000)}${']'.repeat(8_000)}`;
  const { searchParams } = new URL(authorizationRequest(server, own, { scope: 'openid' }).url);
  searchParams.set('claims', `{"userinfo":{"email":{"a":${deep}}}}`);
  const answer = await fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: { authorization: basicOf(own) },
    body: searchParams,
  });
  expect([answer.status, await answer.json()]).toMatchObject([201, { request_uri: expect.any(String) }]);
});

async function recordsOf(type: string): Promise<Record<string, unknown>[]> {
  const { rows } = await server.database.db.query<{ payload: Record<string, unknown> }>(
    'select payload from audit_events where type = $1 order by seq desc',
    [type],
  );
  return rows.map(({ payload }) => payload);
}
