/** Bodies that no client sends by mistake: refused as the client's fault, never as ours. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { basicOf, signedIn, type Application } from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { sendRaw, sendText } from '../support/raw-http.ts';

const FORM = 'application/x-www-form-urlencoded';

let server: TestServer;
let application: Application;
/** Of somebody who signed in: the forms of an account are read for nobody else. */
let cookie: string;
beforeAll(async () => {
  server = await startGatehouse({
    env: {
      GATEHOUSE_REGISTRATION_ENABLED: 'true',
      GATEHOUSE_REGISTRATION_OPEN: 'true',
      GATEHOUSE_REGISTRATION_ADDRESS_FREE_ATTEMPTS: '1000',
    },
  });
  const visit = await signedIn(server);
  application = visit.application;
  await visit.person.open(`${server.issuer}/account/approvals`);
  cookie = [...visit.person.cookies].map(([key, { value }]) => `${key.split(';')[0]}=${value}`).join('; ');
});
afterAll(() => server.stop());

const ENDPOINTS = [
  '/oauth/token',
  '/oauth/introspect',
  '/oauth/revoke',
  '/oauth/par',
  '/oauth/userinfo',
  '/oauth/device_authorization',
  '/oauth/backchannel',
  '/oauth/register',
  '/oauth/register/someone',
  '/oauth/logout/confirm',
  '/device',
];
const FORMS = [
  'login',
  'totp',
  'recovery-code',
  'enrol',
  'recovery-codes',
  'recovery-codes/renew',
  'access',
  'switch',
  'consent',
].map((step) => `/interaction/someone/${step}`);
const ACCOUNT_FORMS = ['/account/approvals/someone', '/account/sessions', '/account/applications/withdraw'];

const BODIES: [
  name: string,
  contentType: string | undefined,
  body: string | Buffer,
  more?: Record<string, string>,
][] = [
  ['nothing', undefined, ''],
  ['an empty form', FORM, ''],
  ['JSON', 'application/json', '{"grant_type":"client_credentials"}'],
  ['JSON that says it is a form', FORM, '{"grant_type":"client_credentials"}'],
  ['XML', 'application/xml', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'],
  [
    'several parts',
    'multipart/form-data; boundary=x',
    '--x\r\nContent-Disposition: form-data; name="token"\r\n\r\na\r\n--x--',
  ],
  ['text', 'text/plain', 'grant_type=client_credentials'],
  ['a content type that is none', 'nonsense', 'grant_type=x'],
  ['an unknown character set', `${FORM}; charset=bogus`, 'grant_type=x'],
  ['UTF-16', `${FORM}; charset=utf-16le`, Buffer.from('grant_type=x', 'utf16le')],
  ['a form that is not compressed', FORM, 'grant_type=x', { 'content-encoding': 'gzip' }],
  ['broken escapes', FORM, 'grant_type=%E0%A4%A&token=%&%=%'],
  ['NUL bytes', FORM, 'grant_type=%00&token=%00&\0=\0'],
  ['bytes that are no text', FORM, Buffer.from([0x67, 0x3d, 0xff, 0xfe, 0x00, 0xc0, 0x80])],
  [
    'names of every object',
    FORM,
    '__proto__=1&constructor=2&toString=3&__proto__[isAdmin]=true&hasOwnProperty=4',
  ],
  ['nested names', FORM, 'a[b][c][d][e][f][g]=1&grant_type[]=x&token[$ne]=1'],
  ['thousands of fields', FORM, 'a=1&'.repeat(3000)],
  ['thousands of separators', FORM, '&'.repeat(15_000)],
  ['one long value', FORM, `token=${'x'.repeat(55_000)}`],
  ['more than anybody needs', FORM, `token=${'x'.repeat(200_000)}`],
];

describe.each([...ENDPOINTS, ...FORMS, ...ACCOUNT_FORMS])('%s', (target) => {
  it.each(BODIES)('takes %s for a mistake', async (_name, contentType, body, more = {}) => {
    for (const authorization of [undefined, basicOf(application)]) {
      const answer = await sendRaw(server, {
        method: 'POST',
        target,
        body,
        headers: {
          accept: 'application/json',
          ...(contentType === undefined ? {} : { 'content-type': contentType }),
          ...(authorization === undefined ? {} : { authorization }),
          ...(target.startsWith('/account/') ? { cookie } : {}),
          ...more,
        },
      });
      // 200 is what revocation answers where there is nothing to revoke, introspection where nothing is active.
      const isQuiet = /introspect|revoke/.test(target) && answer.status === 200;
      expect([isQuiet || (answer.status >= 400 && answer.status < 500), answer.status]).toEqual([
        true,
        answer.status,
      ]);
      expect(answer.body).not.toMatch(/node_modules|\.ts:\d+|at async|select |insert /);
      // A POST is not cached unless it says so (RFC 9110 §9.3.3); revocation says nothing at all.
      if (target !== '/oauth/revoke') expect(answer.headers['cache-control']).toContain('no-store');
    }
  });
});

it('leaves no token in the log where a garbled form has one in the place of the grant type', async () => {
  for (const type of [
    'refresh_token;refresh_token=rt_secret',
    'rt_0123456789abcdefghijABCDEFGHIJ0123456789_-x',
  ]) {
    const { status, headers } = await sendRaw(server, {
      method: 'POST',
      target: '/oauth/token',
      body: new URLSearchParams({ grant_type: type }).toString(),
      headers: { 'content-type': FORM, authorization: basicOf(application) },
    });
    expect(status).toBe(400);
    const { events } = await server.subjects.audit.list({ requestId: String(headers['x-request-id']) });
    expect(events.map(({ type: event, payload }) => [event, payload['grant_type']])).toEqual([
      ['token.refused', 'unreadable'],
    ]);
  }
});

describe('the line', () => {
  it.each([
    [
      'two lengths',
      'POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\na=b',
    ],
    [
      'a length and chunks (request smuggling)',
      'POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a strange encoding',
      'POST /oauth/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    ],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\nConnection: close\r\n\r\n'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n'],
    ['headers without end', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`],
    ['nonsense', 'NONSENSE\r\n\r\n'],
    ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('with %s never becomes a fault of ours', async (_name, text) => {
    const answer = await sendText(server, text);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
    expect(status).toBeLessThan(500);
    expect(answer).not.toMatch(/node_modules|at async/);
  });

  it('that asks for everything gets nothing', async () => {
    expect(await sendText(server, 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 404 /,
    );
    expect(await sendText(server, 'CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n')).not.toMatch(
      / 200 /,
    );
  });
});

it('goes on serving whoever comes next', async () => {
  const response = await fetch(`${server.issuer}/.well-known/openid-configuration`);
  expect(response.status).toBe(200);
  expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  const { events } = await server.subjects.audit.list({ types: ['server.error'] });
  expect(events).toEqual([]);
});
