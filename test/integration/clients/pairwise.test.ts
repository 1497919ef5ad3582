import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createClientService, type ClientService, type NewClient } from '../../../src/clients/service.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createOutgoing, type Outgoing } from '../../../src/platform/outgoing.ts';
import { sectorOf } from '../../../src/clients/pairwise.ts';
import { OPERATOR } from '../../support/application.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const SECTOR = 'https://sector.example/uris.json';
const URIS = ['https://one.example/callback', 'https://two.example/callback'];

let database: TestDatabase;
let clients: ClientService;
let answer: { status?: number; body: string };

beforeAll(async () => {
  database = await createTestDatabase();
  const outgoing = {
    request: async () => ({ status: answer.status ?? 200, headers: {}, body: Buffer.from(answer.body) }),
  } as unknown as Outgoing;
  clients = createClientService({ db: database.db, clock: systemClock, outgoing });
});
afterAll(() => database.drop());

const listing = (...uris: string[]): { body: string } => ({ body: JSON.stringify(uris) });
const pairwise = (overrides: Partial<NewClient> = {}): NewClient => ({
  name: 'Shop',
  redirectUris: URIS.slice(0, 1),
  subjectType: 'pairwise',
  ...overrides,
});

describe('the sector of a client', () => {
  it.each([
    ['the host of its redirect URIs', pairwise(), 'one.example'],
    [
      'the same on every port',
      pairwise({ redirectUris: ['https://one.example:8443/a', 'https://one.example:8443/b'] }),
      'one.example',
    ],
    [
      'the host of its sector_identifier_uri',
      pairwise({ redirectUris: URIS, sectorIdentifierUri: SECTOR }),
      'sector.example',
    ],
    ['none where people are known publicly', { name: 'Open', redirectUris: URIS }, undefined],
  ])('is %s', async (_, input, expected) => {
    answer = listing(...URIS, 'https://three.example/callback');
    const { client } = await clients.create(input, OPERATOR);
    expect(sectorOf(client)).toBe(expected);
    expect(sectorOf(await clients.get(client.clientId))).toBe(expected);
  });
});

describe('a pairwise client is refused', () => {
  it.each<[string, NewClient, typeof answer, RegExp]>([
    ['with several hosts and no sector', pairwise({ redirectUris: URIS }), listing(), /no one host/],
    [
      'with a redirect URI of no host and no sector',
      pairwise({ redirectUris: ['com.example.shop:/callback'], isPublic: true }),
      listing(),
      /no one host/,
    ],
    [
      'that runs on the machines of people, as others do, and has no sector',
      pairwise({ redirectUris: ['http://127.0.0.1/callback'], isPublic: true }),
      listing(),
      /no one host/,
    ],
    [
      'with a redirect URI that its sector does not list',
      pairwise({ redirectUris: URIS, sectorIdentifierUri: SECTOR }),
      listing(URIS[0] ?? ''),
      /does not list https:\/\/two\.example/,
    ],
    [
      'with a document that is no list',
      pairwise({ sectorIdentifierUri: SECTOR }),
      { body: '{"redirect_uris":[]}' },
      /no JSON array/,
    ],
    [
      'with a document that is no JSON',
      pairwise({ sectorIdentifierUri: SECTOR }),
      { body: '<html>' },
      /no JSON/,
    ],
    [
      'with a document that is not there',
      pairwise({ sectorIdentifierUri: SECTOR }),
      { status: 404, body: '[]' },
      /answers 404/,
    ],
    [
      'with a sector by http',
      pairwise({ sectorIdentifierUri: 'http://sector.example/uris' }),
      listing(...URIS),
      /https address/,
    ],
    [
      'with a sector and public subjects',
      pairwise({ subjectType: 'public', sectorIdentifierUri: SECTOR }),
      listing(...URIS),
      /for the subject type pairwise/,
    ],
    ['as a machine', { name: 'Machine', subjectType: 'pairwise' }, listing(), /nobody signs in/],
  ])('%s', async (_, input, given, reason) => {
    answer = given;
    await expect(clients.create(input, OPERATOR)).rejects.toMatchObject({
      code: 'invalid_client',
      message: expect.stringMatching(reason),
    });
  });

  it.each([
    'https://127.0.0.1/uris',
    'https://[::1]/uris',
    'https://169.254.169.254/latest',
    'https://10.0.0.7/',
  ])('with a sector at the private address %s', async (sectorIdentifierUri) => {
    const guarded = createClientService({
      db: database.db,
      clock: systemClock,
      outgoing: createOutgoing({ allowedHosts: [], timeoutMs: 1_000 }),
    });
    await expect(guarded.create(pairwise({ sectorIdentifierUri }), OPERATOR)).rejects.toMatchObject({
      code: 'invalid_client',
      message: expect.stringMatching(/address_refused/),
    });
  });

  it('when a change takes it out of its sector', async () => {
    answer = listing(...URIS);
    const { client } = await clients.create(
      pairwise({ redirectUris: URIS, sectorIdentifierUri: SECTOR }),
      OPERATOR,
    );
    const grown = [...URIS, 'https://three.example/callback'];
    await expect(clients.update(client.clientId, { redirectUris: grown }, OPERATOR)).rejects.toMatchObject({
      message: expect.stringMatching(/three\.example/),
    });
    await expect(
      clients.update(client.clientId, { sectorIdentifierUri: null }, OPERATOR),
    ).rejects.toMatchObject({ message: expect.stringMatching(/no one host/) });
    answer = listing(...grown);
    const updated = await clients.update(client.clientId, { redirectUris: grown }, OPERATOR);
    expect(updated.redirectUris).toEqual(grown);
  });
});
