/**
 * Requests that nobody thought of: the words of the protocol and hostile ones in any arrangement, for any endpoint.
 * What holds for every answer is checked by whoever sends them.
 */
import fc from 'fast-check';

import type { RawRequest } from './raw-http.ts';

/** Values that mean something to this server: ids, secrets, tokens, codes. */
export type Treasures = Readonly<Record<string, string>>;

const METHODS = ['GET', 'POST', 'POST', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE'];

/** Parameters of RFC 6749, OpenID Connect and what came after them, and those of our forms. */
const NAMES = [
  'client_id client_secret redirect_uri response_type response_mode scope state nonce code',
  'code_verifier code_challenge code_challenge_method grant_type refresh_token resource prompt max_age',
  'acr_values ui_locales login_hint id_token_hint claims display iss request request_uri registration',
  'authorization_details dpop_jkt audience sid sub token token_type_hint client_assertion',
  'client_assertion_type access_token assertion post_logout_redirect_uri logout_hint logout xsrf error',
  'error_description device_code user_code confirm abort auth_req_id binding_message requested_expiry',
  'client_notification_token login_hint_token user_code subject_token subject_token_type actor_token',
  'actor_token_type requested_token_type identifier password decision csrf __proto__ constructor',
  'toString a[b]',
].flatMap((line) => line.split(' '));

/** What these parameters are given by those who know them. */
const WORDS = [
  'code|token|id_token|none|code id_token|query|fragment|form_post|query.jwt|jwt|openid',
  'openid profile email roles offline_access|login|consent|select_account|create|authorization_code',
  'refresh_token|client_credentials|password|implicit|S256|plain',
  'urn:ietf:params:oauth:grant-type:device_code|urn:openid:params:grant-type:ciba',
  'urn:ietf:params:oauth:grant-type:token-exchange|urn:ietf:params:oauth:token-type:access_token',
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer|urn:ietf:params:oauth:request_uri:x|aal1|aal2',
  'en|de-CH|0|1|-1|1e9|true|https://app.example/callback|yes|no|{}|[]|null',
  '{"id_token":{"acr":{"essential":true,"value":"aal2"}}}|[{"type":"x"}]|{"a":',
  'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.|eyJhbGciOiJIUzI1NiJ9.e30.AAAA|a.b.c|a.b.c.d.e',
].flatMap((line) => line.split('|'));

/** What a right request holds, by names; those without a value are given their treasure. */
const PLAUSIBLE = [
  'client_id client_secret grant_type=authorization_code code redirect_uri code_verifier',
  'client_id client_secret grant_type=refresh_token refresh_token',
  'client_id client_secret grant_type=client_credentials',
  'client_id client_secret grant_type=urn:ietf:params:oauth:grant-type:device_code device_code',
  'client_id client_secret grant_type=urn:ietf:params:oauth:grant-type:token-exchange subject_token subject_token_type=urn:ietf:params:oauth:token-type:access_token',
  'client_id client_secret grant_type=urn:openid:params:grant-type:ciba auth_req_id=x',
  'client_id client_secret token',
  'client_id client_secret scope=openid login_hint binding_message=x',
  'client_id client_secret response_type=code redirect_uri scope=openid state=s nonce=n code_challenge code_challenge_method=S256',
  'client_id response_type=code redirect_uri scope=openid state=s nonce=n code_challenge code_challenge_method=S256 prompt=none',
  'id_token_hint client_id post_logout_redirect_uri state=s',
  'identifier password',
].map((names) => names.split(' '));

const HOSTILE = [
  '',
  ' ',
  '\0',
  '\r\nSet-Cookie: a=b',
  '%',
  '%00',
  '%E0%A4%A',
  '../../etc/passwd',
  "' or 1=1 --",
  '\uFFFE',
  '<script>alert(1)</script>',
  '${7*7}',
  '{{7*7}}',
  '__proto__',
  '\u202Eabc',
  '😀'.repeat(50),
  '\uD800',
  'javascript:alert(1)',
  'http://169.254.169.254/',
  'file:///etc/passwd',
  '//evil.example',
  'x'.repeat(5_000),
];

const HEADERS: readonly [name: string, values: readonly string[]][] = [
  [
    'accept',
    ['text/html', 'application/json', '*/*', 'application/token-introspection+jwt', 'nonsense', ';q=x'],
  ],
  ['authorization', ['Bearer', 'Basic', 'Basic !!!!', 'Basic Og==', 'DPoP a.b.c', 'Bearer a b', 'Digest x']],
  ['dpop', ['', 'a.b.c', 'eyJhbGciOiJub25lIn0.e30.', 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImRwb3Arand0In0.e30.AAAA']],
  ['origin', ['null', 'https://evil.example', '']],
  ['sec-fetch-site', ['same-origin', 'cross-site', 'nonsense']],
  ['host', ['evil.example', '', 'localhost']],
  ['x-forwarded-for', ['127.0.0.1', 'nonsense', '::1, 8.8.8.8']],
  ['x-request-id', ['x', 'a'.repeat(300)]],
  ['cookie', ['gatehouse-session=x', 'gatehouse-interaction=x; gatehouse-interaction.sig=y', '=;=;', 'a']],
  ['content-encoding', ['gzip', 'identity']],
  ['client-cert', [':AAAA:', 'x']],
  ['if-none-match', ['*', '"x"', 'W/"x"']],
];

const CONTENT_TYPES = [
  'application/x-www-form-urlencoded',
  'application/x-www-form-urlencoded; charset=utf-16',
  'application/json',
  'text/plain',
  'multipart/form-data; boundary=x',
  'nonsense',
];

/** @param targets the paths of the endpoints, as the server publishes them */
export function generatedRequest(
  targets: readonly string[],
  treasures: Treasures,
): fc.Arbitrary<RawRequest & { method: string }> {
  const value = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...Object.values(treasures)) },
    { weight: 4, arbitrary: fc.constantFrom(...WORDS) },
    { weight: 2, arbitrary: fc.constantFrom(...HOSTILE) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
    { weight: 1, arbitrary: fc.json({ maxDepth: 3 }) },
  );
  const name = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...NAMES) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  );
  // A parameter that has a treasure of its own name is given it often: otherwise nothing gets past the first check.
  const known = fc.constantFrom<[string, string]>(
    ...Object.entries(treasures).filter(([key]) => NAMES.includes(key)),
  );
  const pair = fc.oneof({ weight: 3, arbitrary: known }, { weight: 4, arbitrary: fc.tuple(name, value) });
  const arbitrary = fc.array(pair, { maxLength: 12 });
  const changed = fc
    .tuple(
      fc.constantFrom(...PLAUSIBLE),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), pair), { maxLength: 3 }),
    )
    .map(([names, changes]) =>
      change(
        names.map((word) => plausible(word, treasures)),
        changes,
      ),
    );
  const parameters = fc.oneof({ weight: 1, arbitrary }, { weight: 2, arbitrary: changed });
  const headers = fc
    .array(
      fc
        .constantFrom(...HEADERS)
        .chain(([header, values]) => fc.tuple(fc.constant(header), fc.constantFrom(...values))),
      { maxLength: 4 },
    )
    .map((list) => Object.fromEntries(list));

  return fc
    .record({
      method: fc.constantFrom(...METHODS),
      path: fc.oneof(
        { weight: 9, arbitrary: fc.constantFrom(...targets) },
        {
          weight: 1,
          arbitrary: fc.tuple(fc.constantFrom(...targets), segment()).map(([a, b]) => `${a}/${b}`),
        },
      ),
      query: parameters,
      form: parameters,
      isJson: fc.integer({ min: 0, max: 9 }).map((number) => number === 0),
      contentType: fc.oneof(
        { weight: 2, arbitrary: fc.constant(CONTENT_TYPES[0]!) },
        { weight: 1, arbitrary: fc.constantFrom(...CONTENT_TYPES) },
      ),
      headers,
      authentication: fc.constantFrom('none', 'basic', 'bearer', 'session'),
    })
    .map(({ method, path, query, form, isJson, contentType, headers: more, authentication }) => {
      const search = query.length > 0 && method !== 'POST' ? `?${encode(query)}` : '';
      const hasBody = method !== 'GET' && method !== 'HEAD';
      const body = isJson ? JSON.stringify(Object.fromEntries(form)) : encode(form);
      const type = isJson ? 'application/json' : contentType;
      const headers: Record<string, string> = Object.assign(
        hasBody ? { 'content-type': type, 'content-length': String(Buffer.byteLength(body)) } : {},
        more,
        proofOf(authentication, treasures),
      );
      return Object.assign({ method, target: path + search, headers }, hasBody ? { body } : {});
    });
}

/** One parameter as it would be right: its own treasure, or the word that stands behind `=`. */
function plausible(word: string, treasures: Treasures): readonly [string, string] {
  const [name = '', value] = word.split('=');
  return [name, value ?? treasures[name] ?? ''];
}

/** A right request with a few things wrong: left out, replaced, given twice, added. */
function change(
  right: readonly (readonly [string, string])[],
  changes: readonly (readonly [number, number, readonly [string, string]])[],
): (readonly [string, string])[] {
  const pairs = [...right];
  for (const [at, kind, pair] of changes) {
    const index = at % pairs.length;
    const [name = '', value = ''] = pairs[index] ?? [];
    if (kind === 0) pairs.splice(index, 1);
    else if (kind === 1) pairs[index] = [name, pair[1]];
    else if (kind === 2) pairs.push([name, value]);
    else pairs.push(pair);
    if (pairs.length === 0) break;
  }
  return pairs;
}

function proofOf(authentication: string, treasures: Treasures): Record<string, string> {
  if (authentication === 'basic') return { authorization: `Basic ${treasures['basic']}` };
  if (authentication === 'bearer') return { authorization: `Bearer ${treasures['access_token']}` };
  return authentication === 'session' ? { cookie: treasures['cookie']! } : {};
}

function segment(): fc.Arbitrary<string> {
  return fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed()));
}

function encode(pairs: readonly (readonly [string, string])[]): string {
  return new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value])).toString();
}
