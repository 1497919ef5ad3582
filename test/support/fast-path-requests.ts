/** Requests of all kinds to the endpoints that have a short way past the library: most are a little wrong somewhere. */
import fc from 'fast-check';

export interface GeneratedRequest {
  method: string;
  target: string;
  headers: Record<string, string>;
  body: string;
  isChunked: boolean;
}

export interface KnownClient {
  clientId: string;
  secret: string | undefined;
}

type Pairs = [string, string][];

interface Authentication {
  headers: Record<string, string>;
  pairs: Pairs;
}

/** Each of the clients, in every way that one can present itself, or fail to. */
function authentications(clients: readonly KnownClient[]): fc.Arbitrary<Authentication> {
  const basic = (text: string): Authentication => ({
    headers: { authorization: `Basic ${Buffer.from(text).toString('base64')}` },
    pairs: [],
  });
  const inForm = (...pairs: Pairs): Authentication => ({ headers: {}, pairs });
  return fc.constantFrom(...clients).chain(({ clientId, secret = '' }) => {
    const right = basic(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`);
    const authorization = right.headers['authorization'] ?? '';
    return fc.oneof(
      { weight: 10, arbitrary: fc.constant(right) },
      {
        weight: 4,
        arbitrary: fc.constant(inForm(['client_id', clientId], ['client_secret', secret])),
      },
      fc.constantFrom<Authentication>(
        basic(`${clientId}:${secret}x`),
        basic(`nobody:${secret}`),
        basic(`${clientId}:`),
        basic(clientId),
        basic(`:${secret}`),
        basic(`${percentEncoded(clientId)}:${secret}`),
        basic(`${clientId}:%zz${secret}`),
        basic(`${clientId}:${secret}%00`),
        basic(`${clientId}:${secret}é`),
        basic(`${clientId}:${secret}+`),
        { headers: { authorization: authorization.toLowerCase() }, pairs: [] },
        { headers: { authorization: authorization.replace('Basic', 'bAsIc') }, pairs: [] },
        { headers: { authorization: authorization.replace('Basic ', 'Basic  ') }, pairs: [] },
        { headers: { authorization: authorization.replaceAll('=', '') }, pairs: [] },
        { headers: { authorization: `${authorization}=` }, pairs: [] },
        { headers: { authorization: 'Bearer abc' }, pairs: [] },
        { headers: { authorization: 'Basic' }, pairs: [] },
        { headers: { authorization: '' }, pairs: [] },
        { headers: right.headers, pairs: [['client_id', clientId]] },
        { headers: right.headers, pairs: [['client_id', 'another']] },
        { headers: right.headers, pairs: [['client_id', '']] },
        { headers: right.headers, pairs: [['client_secret', secret]] },
        { headers: right.headers, pairs: [['client_secret', '']] },
        inForm(['client_id', clientId]),
        inForm(['client_secret', secret]),
        inForm(['client_id', clientId], ['client_secret', `${secret}x`]),
        inForm(['client_id', clientId], ['client_secret', '']),
        inForm(['client_id', clientId], ['client_secret', secret], ['client_secret', secret]),
        inForm(['client_id', clientId], ['client_id', clientId], ['client_secret', secret]),
        inForm(
          ['client_id', clientId],
          ['client_assertion', 'a.b.c'],
          ['client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
        ),
        inForm(),
      ),
    );
  });
}

function percentEncoded(text: string): string {
  return Buffer.from(text).toString('hex').replaceAll(/../g, '%$&');
}

const oddities: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 12, arbitrary: fc.constant({}) },
  fc.constantFrom<Record<string, string>>(
    { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' },
    { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
    { 'content-type': 'application/x-www-form-urlencoded; charset=latin1' },
    { 'content-type': 'application/x-www-form-urlencoded; charset="utf-8"' },
    { 'content-type': 'application/x-www-form-urlencoded; charset=utf-16' },
    { 'content-type': 'application/x-www-form-urlencoded;' },
    { 'content-type': 'application/x-www-form-urlencoded; boundary=x; charset=utf-8' },
    { 'content-type': 'application/x-www-form-urlencoded, text/plain' },
    { 'content-type': 'application/x-www-form-urlencoded+json' },
    { 'content-type': 'Application/X-WWW-Form-Urlencoded' },
    { 'content-type': 'application/json' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'multipart/form-data; boundary=x' },
    { 'content-type': '' },
    { 'content-encoding': 'gzip' },
    { accept: 'application/json' },
    { accept: '*/*' },
    { accept: 'application/json, text/plain, */*' },
    { accept: 'text/html' },
    { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' },
    { accept: 'application/token-introspection+jwt' },
    { accept: 'application/token-introspection+jwt, application/json;q=0.5' },
    { accept: 'image/png' },
    { dpop: 'eyJhbGciOiJub25lIn0.e30.' },
    { origin: 'https://app.example' },
    { origin: 'null' },
    { 'x-forwarded-host': 'evil.example' },
    { 'content-encoding': 'identity' },
    { 'accept-encoding': 'gzip, br' },
    { accept: '' },
    { accept: 'application/json;q=0' },
    { cookie: 'gatehouse-session=x' },
    { 'x-client-certificate': 'nonsense', 'x-client-verify': 'SUCCESS' },
    { 'x-client-certificate': '', 'x-client-verify': 'NONE' },
    { 'oauth-client-attestation-pop': 'x.y.z' },
    { 'if-none-match': '*' },
    { range: 'bytes=0-1' },
    { 'x-http-method-override': 'GET' },
    { 'oauth-client-attestation': 'x.y.z' },
  ),
);

/** How the form is written down. */
const spellings: fc.Arbitrary<(pairs: Pairs) => string> = fc.oneof(
  { weight: 8, arbitrary: fc.constant((pairs: Pairs) => new URLSearchParams(pairs).toString()) },
  fc.constantFrom<(pairs: Pairs) => string>(
    (pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&'),
    (pairs) => pairs.map(([name, value]) => `${name}=${percentEncoded(value)}`).join('&'),
    (pairs) => `&&${new URLSearchParams(pairs).toString()}&`,
    (pairs) => `${new URLSearchParams(pairs).toString()}&%zz=%`,
    (pairs) => `\uFEFF${new URLSearchParams(pairs).toString()}`,
    (pairs) => `${new URLSearchParams(pairs).toString()}&name=é`,
    (pairs) => new URLSearchParams(pairs).toString().replaceAll('&', ';'),
    () => '',
    () => '=',
    (pairs) => `${new URLSearchParams(pairs).toString()}&pad=${'x'.repeat(9000)}`,
    (pairs) => `${new URLSearchParams(pairs).toString()}&pad=${'x'.repeat(60_000)}`,
  ),
);

const additions: fc.Arbitrary<Pairs> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Pairs>([]) },
  fc.constantFrom<Pairs>(
    [['unknown', 'x']],
    [['__proto__', 'x']],
    [['toString', 'x']],
    [['token', 'again']],
    [['grant_type', 'client_credentials']],
    [['scope', 'read']],
    [['resource', 'https://else.example']],
    [['client_assertion', '']],
    [['client_assertion_type', 'x']],
    [['authorization_details', '[{"type":"x"}]']],
    [['code', 'x']],
  ),
);

function requests(
  path: string,
  clients: readonly KnownClient[],
  forms: fc.Arbitrary<Pairs>,
): fc.Arbitrary<GeneratedRequest> {
  return requestsWith(path, clients, forms).map(({ bodyWith, ...request }) =>
    Object.assign(request, { body: bodyWith('') }),
  );
}

function requestsWith(
  path: string,
  clients: readonly KnownClient[],
  forms: fc.Arbitrary<Pairs>,
): fc.Arbitrary<RefreshRequest> {
  return fc
    .record({
      authentication: authentications(clients),
      form: forms,
      oddity: oddities,
      addition: additions,
      spelling: spellings,
      isReversed: fc.boolean(),
      isChunked: fc.oneof({ weight: 15, arbitrary: fc.constant(false) }, fc.constant(true)),
      method: fc.oneof(
        { weight: 30, arbitrary: fc.constant('POST') },
        fc.constantFrom('GET', 'PUT', 'OPTIONS'),
      ),
      target: fc.oneof(
        { weight: 20, arbitrary: fc.constant(path) },
        fc.constantFrom(`${path}?token=x&client_id=y`, `${path}/`, path.toUpperCase(), `/${path}`),
      ),
    })
    .map(({ authentication, form, oddity, addition, spelling, isReversed, isChunked, method, target }) => {
      const pairs = [...form, ...authentication.pairs, ...addition];
      const headers = {
        'content-type': 'application/x-www-form-urlencoded',
        ...authentication.headers,
        ...oddity,
      };
      return {
        method,
        target,
        headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== '')),
        bodyWith: (refreshToken: string) => {
          const told = pairs.map(([name, value]): [string, string] => [
            name,
            value.replaceAll(REFRESH_TOKEN, refreshToken),
          ]);
          return spelling(isReversed ? told.toReversed() : told);
        },
        isChunked,
      };
    });
}

/** @param tokens of every kind and state */
export function introspectionRequests(
  clients: readonly KnownClient[],
  tokens: readonly string[],
): fc.Arbitrary<GeneratedRequest> {
  const presented = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...tokens) },
    fc
      .constantFrom(...tokens)
      .chain((token) =>
        fc.constantFrom(`${token}x`, token.slice(0, -1), ` ${token}`, `${token}.x`, `at_${token}`),
      ),
    fc.constantFrom(
      '',
      'at_',
      'cc_',
      'at_nothing',
      'cc_nothing',
      'rt_nothing',
      'eyJhbGciOiJub25lIn0.e30.',
      'x'.repeat(3000),
    ),
    fc.string({ maxLength: 20 }),
  );
  const hint: fc.Arbitrary<Pairs> = fc.constantFrom<Pairs>(
    [],
    [],
    [['token_type_hint', 'access_token']],
    [['token_type_hint', 'refresh_token']],
    [['token_type_hint', 'something']],
    [['token_type_hint', '']],
    [
      ['token_type_hint', 'access_token'],
      ['token_type_hint', 'access_token'],
    ],
  );
  const forms = fc.tuple(
    fc.oneof(
      { weight: 12, arbitrary: presented.map((token): Pairs => [['token', token]]) },
      fc.constant<Pairs>([]),
    ),
    hint,
  );
  return requests(
    '/oauth/introspect',
    clients,
    forms.map((parts) => parts.flat()),
  );
}

export function machineRequests(
  clients: readonly KnownClient[],
  apis: readonly string[],
): fc.Arbitrary<GeneratedRequest> {
  const grantType = fc.oneof(
    { weight: 16, arbitrary: fc.constant('client_credentials') },
    fc.constantFrom(
      '',
      'authorization_code',
      'refresh_token',
      'Client_Credentials',
      'client_credentials ',
      'password',
    ),
  );
  const resource = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...apis).map((api): Pairs => [['resource', api]]) },
    fc.constantFrom<Pairs>(
      [],
      [['resource', '']],
      [['resource', 'https://unknown.example']],
      [['resource', 'not a uri']],
      [['resource', `${apis[0]}#fragment`]],
      [['resource', `${apis[0]}/`]],
      apis.slice(0, 2).map((api) => ['resource', api]),
    ),
  );
  const scope = fc.oneof(
    { weight: 3, arbitrary: fc.constant<Pairs>([]) },
    {
      weight: 4,
      arbitrary: fc
        .array(fc.constantFrom('read', 'write', 'audit', 'unknown'), { minLength: 1, maxLength: 4 })
        .map((words): Pairs => [['scope', words.join(' ')]]),
    },
    fc.constantFrom<Pairs>(
      [['scope', '']],
      [['scope', ' read']],
      [['scope', 'read  write']],
      [['scope', 'read\twrite']],
      [['scope', 'openid']],
      [['scope', 'read openid']],
      [['scope', 'offline_access read']],
      [['scope', '"read"']],
      [['scope', 'reäd']],
      [
        ['scope', 'read'],
        ['scope', 'write'],
      ],
    ),
  );
  return requests(
    '/oauth/token',
    clients,
    fc
      .tuple(grantType, resource, scope)
      .map(([type, api, words]) => ([[['grant_type', type]], api, words] satisfies Pairs[]).flat()),
  );
}

/** Stands for the refresh token that a request presents, which is known only when it is sent. */
const REFRESH_TOKEN = 'rt_PRESENTED';

export interface RefreshRequest extends Omit<GeneratedRequest, 'body'> {
  bodyWith: (refreshToken: string) => string;
}

/**
 * @param owner the client of the token
 * @param others who may come with it as well
 * @param resources the APIs that the token may be for, and others
 */
export function refreshRequests(
  owner: KnownClient,
  others: readonly KnownClient[],
  resources: readonly string[],
): fc.Arbitrary<RefreshRequest> {
  const grantType = fc.oneof(
    { weight: 25, arbitrary: fc.constant('refresh_token') },
    fc.constantFrom('', 'authorization_code', 'client_credentials', 'Refresh_Token', 'refresh_token '),
  );
  const presented = fc.oneof(
    { weight: 25, arbitrary: fc.constant<Pairs>([['refresh_token', REFRESH_TOKEN]]) },
    fc.constantFrom<Pairs>(
      [],
      [['refresh_token', '']],
      [['refresh_token', 'rt_nothing']],
      [['refresh_token', 'at_nothing']],
      [['refresh_token', `${REFRESH_TOKEN}x`]],
      [['refresh_token', ` ${REFRESH_TOKEN}`]],
      [['refresh_token', `${REFRESH_TOKEN}.x`]],
      [
        ['refresh_token', REFRESH_TOKEN],
        ['refresh_token', REFRESH_TOKEN],
      ],
    ),
  );
  const resource = fc.oneof(
    { weight: 6, arbitrary: fc.constant<Pairs>([]) },
    { weight: 4, arbitrary: fc.constantFrom(...resources).map((api): Pairs => [['resource', api]]) },
    fc.constantFrom<Pairs>(
      [['resource', '']],
      [['resource', 'not a uri']],
      [['resource', `${resources[0]}/`]],
      resources.slice(0, 2).map((api) => ['resource', api]),
    ),
  );
  const scope = fc.oneof(
    { weight: 6, arbitrary: fc.constant<Pairs>([]) },
    {
      weight: 4,
      arbitrary: fc
        .array(fc.constantFrom('openid', 'profile', 'email', 'roles', 'read', 'write'), {
          minLength: 1,
          maxLength: 4,
        })
        .map((words): Pairs => [['scope', words.join(' ')]]),
    },
    fc.constantFrom<Pairs>(
      [['scope', '']],
      [['scope', 'openid openid']],
      [['scope', ' openid']],
      [['scope', 'openid  profile']],
      [['scope', 'openid unknown']],
      [['scope', 'audit']],
      [['scope', 'offline_access']],
      [['scope', 'openid offline_access']],
      [['scope', 'openid\tprofile']],
      [['scope', '"openid"']],
      [['scope', 'openïd']],
      [
        ['scope', 'openid'],
        ['scope', 'profile'],
      ],
    ),
  );
  const forms = fc
    .tuple(grantType, presented, resource, scope)
    .map(([type, token, api, words]) =>
      ([[['grant_type', type]], token, api, words] satisfies Pairs[]).flat(),
    );
  return fc.oneof(
    { weight: 12, arbitrary: requestsWith('/oauth/token', [owner], forms) },
    requestsWith('/oauth/token', others, forms),
  );
}
