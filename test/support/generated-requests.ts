/**
 * Requests that nobody thought of: the words of the protocol and hostile ones in any arrangement, for any endpoint.
 * What holds for every answer is checked by whoever sends them.
 */
import fc from 'fast-check';

import type { OddClients } from './odd-clients.ts';
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

/** What a right request holds, by names; those without a value are given their treasure. First where it goes. */
const PLAUSIBLE = [
  'token client_id client_secret grant_type=authorization_code code redirect_uri code_verifier',
  'token client_id client_secret grant_type=refresh_token refresh_token',
  'token client_id client_secret grant_type=client_credentials resource',
  'token client_id client_secret grant_type=urn:ietf:params:oauth:grant-type:device_code device_code',
  'token client_id client_secret grant_type=urn:ietf:params:oauth:grant-type:token-exchange subject_token subject_token_type=urn:ietf:params:oauth:token-type:access_token audience',
  'token client_id client_secret grant_type=urn:openid:params:grant-type:ciba auth_req_id',
  'introspect client_id client_secret token token_type_hint=access_token',
  'revoke client_id client_secret token token_type_hint=access_token',
  'backchannel client_id client_secret scope=openid login_hint binding_message=x',
  'device_authorization client_id client_secret scope=openid',
  'par client_id client_secret response_type=code redirect_uri scope=openid state=s nonce=n code_challenge code_challenge_method=S256',
  'authorize client_id response_type=code redirect_uri scope=openid state=s nonce=n code_challenge code_challenge_method=S256 prompt=none',
  'authorize client_id request_uri',
  'userinfo access_token',
  'logout id_token_hint client_id post_logout_redirect_uri state=s',
  'resource-metadata resource',
  'device user_code xsrf=x confirm=yes',
  'login identifier password',
  'consent decision=allow',
].map((line) => {
  const [place = '', ...names] = line.split(' ');
  return { place, names };
});

/** Where one asks by GET. */
const READ = new Set(['authorize', 'userinfo', 'logout', 'resource-metadata']);

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

/** Metadata of clients (RFC 7591 §2), which come as JSON. */
const METADATA = [
  'redirect_uris client_name grant_types response_types token_endpoint_auth_method scope jwks jwks_uri',
  'client_uri logo_uri contacts subject_type sector_identifier_uri application_type default_max_age',
  'id_token_signed_response_alg request_uris software_statement client_id client_secret __proto__',
].flatMap((line) => line.split(' '));

type Pairs = (readonly [string, string])[];

/** @param targets the paths of the endpoints, as the server publishes them; one at least for each plausible place */
export function generatedRequest(
  targets: readonly string[],
  treasures: Treasures,
  { clientIds, certificates }: OddClients,
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

  const anything = fc.record({
    method: fc.constantFrom(...METHODS),
    path: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...targets) },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.constantFrom(...targets), segment()).map(([a, b]) => `${a}/${b}`),
      },
    ),
    parameters: fc.array(pair, { maxLength: 12 }),
  });
  const nearlyRight = fc
    .tuple(fc.constantFrom(...PLAUSIBLE), usually(undefined, ...clientIds))
    .chain(([{ place, names }, odd]) => {
      const own = odd === undefined ? treasures : { ...treasures, client_id: odd };
      // None of these clients has a secret.
      const words = odd === undefined ? names : names.filter((word) => word !== 'client_secret');
      return fc.record({
        method: usually(READ.has(place) ? 'GET' : 'POST', 'POST', 'GET', 'PUT'),
        path: fc.constantFrom(...targets.filter((target) => target.endsWith(`/${place}`))),
        parameters: fc
          .array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), pair), { maxLength: 3 })
          .map((changes): Pairs =>
            change(
              words.map((word) => plausible(word, own)),
              changes,
            ),
          ),
      });
    });

  return fc
    .record({
      request: fc.oneof({ weight: 2, arbitrary: anything }, { weight: 3, arbitrary: nearlyRight }),
      json: fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: json(value) }),
      contentType: fc.oneof(
        { weight: 4, arbitrary: fc.constant(CONTENT_TYPES[0]!) },
        { weight: 1, arbitrary: fc.constantFrom(...CONTENT_TYPES) },
      ),
      headers: headers(),
      certificate: fc.oneof(
        { weight: 2, arbitrary: fc.constant({}) },
        { weight: 1, arbitrary: certificates },
      ),
      authentication: fc.constantFrom('none', 'none', 'basic', 'bearer', 'registration', 'session'),
    })
    .map(
      ({
        request: { method, path, parameters },
        json: object,
        contentType,
        headers: more,
        certificate,
        authentication,
      }) => {
        const hasBody = method !== 'GET' && method !== 'HEAD';
        const search = parameters.length > 0 && !hasBody ? `?${encode(parameters)}` : '';
        const isJson = object !== undefined || path.includes('/oauth/register');
        const body = isJson ? (object ?? JSON.stringify(Object.fromEntries(parameters))) : encode(parameters);
        const type = isJson ? 'application/json' : contentType;
        const all: Record<string, string> = Object.assign(
          hasBody ? { 'content-type': type, 'content-length': String(Buffer.byteLength(body)) } : {},
          more,
          certificate,
          proofOf(authentication, treasures),
        );
        return Object.assign({ method, target: path + search, headers: all }, hasBody ? { body } : {});
      },
    );
}

/** The first of them four times of five. */
function usually<T>(first: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant(first) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
}

/** A few that nobody needs, and most often none. */
function headers(): fc.Arbitrary<Record<string, string>> {
  const some = fc
    .array(
      fc
        .constantFrom(...HEADERS)
        .chain(([header, values]) => fc.tuple(fc.constant(header), fc.constantFrom(...values))),
      { maxLength: 4 },
    )
    .map((list) => Object.fromEntries(list));
  return fc.oneof({ weight: 1, arbitrary: some }, { weight: 2, arbitrary: fc.constant({}) });
}

/** Metadata of the wrong kinds, and what is not even that. */
function json(value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const member = fc.oneof(value, fc.array(value, { maxLength: 3 }), fc.jsonValue({ maxDepth: 3 }));
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.dictionary(fc.constantFrom(...METADATA), member).map((it) => JSON.stringify(it)),
    },
    { weight: 1, arbitrary: fc.json() },
    {
      weight: 1,
      arbitrary: fc.constantFrom('{"a":', '', '[]', 'null', '['.repeat(5_000), '{"a":'.repeat(5_000)),
    },
  );
}

/** One parameter as it would be right: its own treasure, or the word that stands behind `=`. */
function plausible(word: string, treasures: Treasures): readonly [string, string] {
  const [name = '', value] = word.split('=');
  return [name, value ?? treasures[name] ?? ''];
}

/** A right request with a few things wrong: left out, replaced, given twice, added. */
function change(
  right: Readonly<Pairs>,
  changes: readonly (readonly [number, number, readonly [string, string]])[],
): Pairs {
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
  if (authentication === 'registration')
    return { authorization: `Bearer ${treasures['registration_token']}` };
  return authentication === 'session' ? { cookie: treasures['cookie']! } : {};
}

function segment(): fc.Arbitrary<string> {
  return fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed()));
}

function encode(pairs: Readonly<Pairs>): string {
  return new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value])).toString();
}
