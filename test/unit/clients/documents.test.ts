import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { clientIdUrlFault, isHostPermitted } from '../../../src/clients/documents/client-id-url.ts';
import { createClientDocuments } from '../../../src/clients/documents/service.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { AppError } from '../../../src/platform/errors.ts';
import { createOutgoing, type OutgoingAnswer } from '../../../src/platform/outgoing.ts';

const CLIENT_ID = 'https://app.example/client.json';
const DOCUMENT = {
  client_name: 'App',
  redirect_uris: ['https://app.example/cb'],
  token_endpoint_auth_method: 'none',
};

let nowMs = 0;
beforeEach(() => {
  nowMs = 1_000_000;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** What the host answers, which the test changes; and how often it was asked. */
function documents(hosts: string[] = ['*']) {
  const asked: string[] = [];
  const state: { answer: () => Promise<OutgoingAnswer> } = { answer: async () => answerOf(DOCUMENT) };
  const { find, known } = createClientDocuments({
    hosts,
    scopes: ['openid'],
    clock: systemClock,
    isApi: async () => false,
    outgoing: {
      request: (url) => {
        asked.push(url);
        return state.answer();
      },
    },
  });
  return { find, known, asked, state };
}

function answerOf(document: object, headers: Record<string, string> = {}, status = 200): OutgoingAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify({ client_id: CLIENT_ID, ...document })),
  };
}

describe('a document', () => {
  it.each([
    ['five minutes unless its host says otherwise', {}, 299, 301],
    ['as long as its host says', { 'cache-control': 'public, max-age=900' }, 899, 901],
    ['a minute at least', { 'cache-control': 'max-age=0' }, 59, 61],
    ['a minute where it is not to be kept', { 'cache-control': 'no-store, max-age=900' }, 59, 61],
    ['an hour at most', { 'cache-control': 'max-age=31536000' }, 3_599, 3_601],
  ])('is kept for %s', async (_, headers, stillAfter, notAfter) => {
    const { find, asked, state } = documents();
    state.answer = async () => answerOf(DOCUMENT, headers);
    const first = await find(CLIENT_ID);
    nowMs += stillAfter * 1_000;
    await find(CLIENT_ID);
    expect(asked).toHaveLength(1);
    nowMs += (notAfter - stillAfter) * 1_000;
    // Unchanged, it is the same client.
    expect(await find(CLIENT_ID)).toBe(first);
    expect(asked).toHaveLength(2);
  });

  it('makes a public client of people, asked each time, that nobody vouches for', async () => {
    expect(await documents().find(CLIENT_ID)).toMatchObject({
      clientId: CLIENT_ID,
      origin: 'document',
      firstParty: false,
      consent: 'always',
      requirePkce: true,
      secrets: [],
      grantTypes: ['authorization_code'],
      scopes: ['openid'],
    });
  });

  it('leads people to its own host, and nowhere else', async () => {
    const { find, state } = documents();
    const pages = { client_uri: 'https://app.example/', policy_uri: 'https://bank.example/' };
    state.answer = async () => answerOf({ ...DOCUMENT, ...pages });
    const client = await find(CLIENT_ID);
    expect([client?.clientUri, client?.policyUri]).toEqual(['https://app.example/', undefined]);
    nowMs += 301_000;
    state.answer = async () => answerOf({ ...DOCUMENT, initiate_login_uri: 'https://bank.example/' });
    expect(await find(CLIENT_ID)).toBeUndefined();
  });

  it('has no part in sign-outs', async () => {
    const { find, state } = documents();
    const addresses = {
      post_logout_redirect_uris: ['https://app.example/out'],
      backchannel_logout_uri: 'https://app.example/back',
      frontchannel_logout_uri: 'https://app.example/front',
    };
    state.answer = async () => answerOf({ ...DOCUMENT, ...addresses });
    const client = await find(CLIENT_ID);
    expect(client?.postLogoutRedirectUris).toEqual([]);
    expect(client).not.toHaveProperty('backchannelLogoutUri');
    expect(client).not.toHaveProperty('frontchannelLogoutUri');
  });

  it('is known without being asked for, once it was read', async () => {
    const { find, known, asked } = documents();
    expect(known(CLIENT_ID)).toBeUndefined();
    const client = await find(CLIENT_ID);
    nowMs += 10 * 86_400_000;
    expect(known(CLIENT_ID)).toBe(client);
    expect(asked).toHaveLength(1);
  });

  it('that changes, changes the client; that is withdrawn, ends it', async () => {
    const { find, state } = documents();
    const first = await find(CLIENT_ID);
    nowMs += 301_000;
    state.answer = async () => answerOf({ ...DOCUMENT, redirect_uris: ['https://app.example/other'] });
    const second = await find(CLIENT_ID);
    expect(second).not.toBe(first);
    expect(second?.redirectUris).toEqual(['https://app.example/other']);
    nowMs += 301_000;
    state.answer = async () => answerOf({}, {}, 404);
    expect(await find(CLIENT_ID)).toBeUndefined();
  });

  it('outlives a day on which its host is away, and no longer', async () => {
    const { find, asked, state } = documents();
    const first = await find(CLIENT_ID);
    state.answer = async () => {
      throw new AppError('unreachable', 502, 'The address cannot be reached.');
    };
    nowMs += 301_000;
    expect(await find(CLIENT_ID)).toBe(first);
    await find(CLIENT_ID);
    expect(asked).toHaveLength(2);
    state.answer = async () => answerOf({}, {}, 503);
    nowMs += 6_000;
    expect(await find(CLIENT_ID)).toBe(first);
    nowMs += 86_400_000;
    await expect(find(CLIENT_ID)).rejects.toMatchObject({ code: 'client_document_unreachable', status: 503 });
  });

  it('is asked for again soon after it was wrong', async () => {
    const { find, asked, state } = documents();
    state.answer = async () => answerOf({ redirect_uris: [] });
    expect(await find(CLIENT_ID)).toBeUndefined();
    expect(await find(CLIENT_ID)).toBeUndefined();
    expect(asked).toHaveLength(1);
    state.answer = async () => answerOf(DOCUMENT);
    nowMs += 11_000;
    expect(await find(CLIENT_ID)).toBeDefined();
  });

  it('is asked for once by all who come while it is on the way', async () => {
    const { find, asked } = documents();
    const found = await Promise.all(Array.from({ length: 20 }, () => find(CLIENT_ID)));
    expect(asked).toHaveLength(1);
    expect(new Set(found).size).toBe(1);
  });
});

it('asks no host more often than sixty times a minute, whatever ids are presented', async () => {
  const { find, asked } = documents();
  for (let index = 0; index < 60; index += 1) await find(`https://app.example/${index}`);
  await expect(find('https://app.example/more')).rejects.toMatchObject({ status: 503 });
  expect(asked).toHaveLength(60);
  nowMs += 60_001;
  await find('https://app.example/more');
  expect(asked).toHaveLength(61);
});

it('counts from the first request, however young the process is', async () => {
  nowMs = 59_990;
  const { find, asked } = documents();
  for (let index = 0; index < 60; index += 1) await find(`https://app.example/${index}`);
  nowMs = 60_010;
  await expect(find('https://app.example/more')).rejects.toMatchObject({ status: 503 });
  expect(asked).toHaveLength(60);
});

it('goes on with a client that it knows when somebody else has used up what its host may be asked', async () => {
  const { find, asked, state } = documents();
  const first = await find(CLIENT_ID);
  nowMs += 301_000;
  state.answer = async () => answerOf({}, {}, 404);
  for (let index = 0; index < 60; index += 1) await find(`https://app.example/${index}`);
  expect(await find(CLIENT_ID)).toBe(first);
  expect(asked).toHaveLength(61);
  // As soon as it may be asked again, it is.
  nowMs += 60_001;
  expect(await find(CLIENT_ID)).toBeUndefined();
});

it('asks nobody where no host is listed', async () => {
  const { find, asked } = documents([]);
  expect(await find(CLIENT_ID)).toBeUndefined();
  expect(asked).toEqual([]);
});

it('asks no host with an inner address among its addresses, whatever it says the next time', async () => {
  const { find } = createClientDocuments({
    hosts: ['*'],
    scopes: ['openid'],
    clock: systemClock,
    isApi: async () => false,
    outgoing: createOutgoing({
      allowedHosts: [],
      timeoutMs: 1_000,
      resolve: async () => [
        { address: '8.8.8.8', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ],
    }),
  });
  expect(await find('https://rebinding.example/a')).toBeUndefined();
});

describe('hosts', () => {
  it.each([
    [['app.example'], CLIENT_ID, true],
    [['other.example'], CLIENT_ID, false],
    [['*.example'], CLIENT_ID, true],
    [['*.app.example'], CLIENT_ID, false],
    [['*'], 'https://app.example:8443/a', false],
    [['*'], 'https://[2606:4700::1]:8443/a', false],
    [['app.example:8443'], 'https://app.example:8443/a', true],
    [['*', '!app.example'], CLIENT_ID, false],
    [['*', '!*.example'], CLIENT_ID, false],
    [['!other.example'], CLIENT_ID, false],
  ])('%j and %s: %s', (hosts, clientId, expected) => {
    expect(isHostPermitted(clientId, hosts)).toBe(expected);
  });
});

it.each([CLIENT_ID, 'https://app.example:8443/a', 'https://a.example/~b/c-d_e%20f'])(
  '%s is in order',
  (id) => {
    expect(clientIdUrlFault(id)).toBeUndefined();
  },
);
