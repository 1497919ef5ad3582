/** The guides' own programs: an MCP server, before clients of the official SDK that nobody registered; a registration. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { auth, type OAuthClientProvider, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js';
import { decodeJwt } from 'jose';

import { OPERATOR, registerPerson } from '../../support/application.ts';
import { type DocumentHost, startDocumentHost } from '../../support/document-host.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { type Guide, type Guides, openGuides } from '../../support/guides.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { recorded } from '../../support/registration.ts';

const METADATA = {
  client_name: 'Assistant',
  redirect_uris: ['http://127.0.0.1/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'none',
};

let host: DocumentHost;
let server: TestServer;
let guides: Guides;
let guide: Guide;
let mcp: string;
let person: { email: string; password: string; account: { id: string; sub: string } };
beforeAll(async () => {
  host = await startDocumentHost();
  server = await startGatehouse({
    env: {
      GATEHOUSE_REGISTRATION_ENABLED: 'true',
      GATEHOUSE_REGISTRATION_OPEN: 'true',
      GATEHOUSE_REGISTRATION_APIS: '*',
      GATEHOUSE_REGISTRATION_DOCUMENT_HOSTS: host.host,
      GATEHOUSE_OUTGOING_ALLOWED_HOSTS: 'localhost',
    },
  });
  guides = await openGuides(server);
  guide = await guides.follow('mcp');
  mcp = `${guides.here}/mcp`;
  await guide.start('node notes.mjs').printed(/The notes are at/);
  person = await registerPerson(server);
  await server.subjects.rbac.grantRole(person.account.id, 'note-reader', OPERATOR);
}, 120_000);
afterAll(async () => {
  await guides?.close();
  await server?.stop();
  await host?.stop();
});

/** The person signs in, and says yes. @returns where the browser is sent back to */
async function allow(url: string, visitor: Person = createPerson(server.issuer)): Promise<Visited> {
  let page = await visitor.open(url);
  page = await visitor.submit(page, { identifier: person.email, password: person.password }, '/login');
  expect(page.html).toContain('Nobody here has checked this app');
  expect(page.html).toContain('Read your notes');
  return visitor.submit(page, { decision: 'allow' }, '/consent');
}

interface Kept {
  client?: OAuthClientInformationMixed;
  tokens?: OAuthTokens;
  verifier?: string;
  openedUrl?: string;
}

function providerOf(kept: Kept, more: Partial<OAuthClientProvider> = {}): OAuthClientProvider {
  return {
    redirectUrl: 'http://127.0.0.1:49152/callback',
    clientMetadata: { ...METADATA, redirect_uris: ['http://127.0.0.1:49152/callback'] },
    clientInformation: () => kept.client,
    saveClientInformation: (client) => {
      kept.client = client;
    },
    tokens: () => kept.tokens,
    saveTokens: (tokens) => {
      kept.tokens = tokens;
    },
    codeVerifier: () => kept.verifier ?? '',
    saveCodeVerifier: (verifier) => {
      kept.verifier = verifier;
    },
    redirectToAuthorization: (url) => {
      kept.openedUrl = url.href;
    },
    ...more,
  };
}

async function connect(authProvider: OAuthClientProvider): Promise<Client> {
  const client = new Client({ name: 'assistant', version: '1.0.0' });
  await client.connect(new StreamableHTTPClientTransport(new URL(mcp), { authProvider }));
  return client;
}

async function notesOf(client: Client): Promise<string> {
  const { content } = await client.callTool({ name: 'list_notes' });
  await client.close();
  return (content as { text: string }[])[0]?.text ?? '';
}

describe.each<[string, () => Partial<OAuthClientProvider>, () => RegExp]>([
  ['registers itself', () => ({}), () => /^[0-9a-f]{32}$/],
  [
    'is described by a document',
    () => ({ clientMetadataUrl: host.serve('/assistant.json', METADATA) }),
    () => new RegExp(`^https://${host.host}/assistant\\.json$`),
  ],
])('a client of the SDK that %s', (_, more, id) => {
  it('signs a person in, and gets tokens for the server alone', async () => {
    const kept: Kept = {};
    const provider = providerOf(kept, more());
    await expect(connect(provider)).rejects.toBeInstanceOf(UnauthorizedError);
    expect(kept.client?.client_id).toMatch(id());
    expect(new URL(kept.openedUrl ?? '').searchParams.get('resource')).toBe(mcp);

    const visited = await allow(kept.openedUrl ?? '');
    expect(visited.url.href).toContain('http://127.0.0.1:49152/callback?');
    const authorizationCode = visited.url.searchParams.get('code') ?? '';
    expect(await auth(provider, { serverUrl: mcp, authorizationCode })).toBe('AUTHORIZED');
    expect(decodeJwt(kept.tokens?.access_token ?? '')).toMatchObject({
      aud: mcp,
      sub: person.account.sub,
      client_id: kept.client?.client_id,
      scope: 'notes:read',
    });
    expect(await notesOf(await connect(provider))).toBe(
      `The notes of ${person.account.sub}, for ${kept.client?.client_id}`,
    );

    // The token is good nowhere else, and is renewed without anybody being asked.
    const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${kept.tokens?.access_token}` },
    });
    expect(userinfo.status).toBe(401);
    const former = kept.tokens?.access_token;
    expect(await auth(provider, { serverUrl: mcp })).toBe('AUTHORIZED');
    expect(kept.tokens?.access_token).not.toBe(former);
    expect(decodeJwt(kept.tokens?.access_token ?? '').aud).toBe(mcp);
  });
});

it('a client that asks for it stays connected when the person has signed out', async () => {
  const kept: Kept = {};
  const provider = providerOf(kept);
  const scope = 'openid offline_access notes:read';
  expect(await auth(provider, { serverUrl: mcp, scope })).toBe('REDIRECT');
  const visitor = createPerson(server.issuer);
  const visited = await allow(kept.openedUrl ?? '', visitor);
  await auth(provider, {
    serverUrl: mcp,
    scope,
    authorizationCode: visited.url.searchParams.get('code') ?? '',
  });
  await visitor.submit(await visitor.open(`${server.issuer}/oauth/logout`), { logout: 'yes' });
  const former = kept.tokens?.access_token;
  expect(await auth(provider, { serverUrl: mcp, scope })).toBe('AUTHORIZED');
  expect(kept.tokens?.access_token).not.toBe(former);
});

it('the assistant of the guide signs in, and the log says who it was', async () => {
  const assistant = guide.start('node assistant.mjs');
  const [, url = ''] = await assistant.printed(/Open (\S+)/);
  const visited = await allow(url);
  expect(await (await fetch(visited.url)).text()).toBe('You can close this window.');
  await assistant.printed(new RegExp(`The notes of ${person.account.sub}`));
  expect(await assistant.exited).toBe(0);
  expect((await recorded(server, 'client.registered')).at(-1)?.payload).toMatchObject({
    name: 'Assistant',
    kind: 'native',
  });
});

describe('the server of the guide', () => {
  it('says where its metadata are, which name the issuer', async () => {
    const refused = await fetch(mcp, { method: 'POST' });
    expect(refused.status).toBe(401);
    const [, url = ''] =
      /resource_metadata="([^"]+)"/.exec(refused.headers.get('www-authenticate') ?? '') ?? [];
    expect(await (await fetch(url)).json()).toEqual({
      resource: mcp,
      resource_name: 'Notes',
      authorization_servers: [server.issuer],
      scopes_supported: ['notes:read'],
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
      dpop_bound_access_tokens_required: false,
    });
  });

  it('refuses what is no token for it', async () => {
    const refused = await fetch(mcp, { method: 'POST', headers: { authorization: 'Bearer nonsense' } });
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"');
  });
});

it('the program of the guide registers, changes and deletes a client', async () => {
  const program = (await guides.follow('dynamic-registration')).start('node register.mjs');
  await program.printed(/deleted/);
  expect(await program.exited).toBe(0);
  expect(program.output()).toBe('registered Atlas string\nchanged Atlas Europe\ndeleted\n');
}, 60_000);

it('tells the metadata of registered APIs, and of no others', async () => {
  const ask = (query: string): Promise<Response> => fetch(`${server.issuer}/oauth/resource-metadata${query}`);
  const known = await ask(`?resource=${encodeURIComponent(mcp)}`);
  expect([known.status, known.headers.get('cache-control')]).toEqual([200, 'public, max-age=300']);
  for (const query of ['', '?resource=https://none.example', '?resource=a&resource=b']) {
    expect((await ask(query)).status).toBe(404);
  }
});
