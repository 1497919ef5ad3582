import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createSocket } from 'node:dgram';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import {
  createOutgoing,
  isPublicAddress,
  resolveByNameServers,
  type Address,
} from '../../../src/platform/outgoing.ts';

const TIMEOUT_MS = 1_500;
let server: Server;
let port: number;
let requests: string[];

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers.host}`);
    if (request.url === '/redirect') return response.writeHead(302, { location: '/elsewhere' }).end();
    if (request.url === '/large') return response.end('x'.repeat(300_000));
    if (request.url === '/silent') return undefined;
    if (request.url === '/other-protocol') {
      return response.socket?.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
      );
    }
    if (request.url === '/no-status') return response.writeHead(999).end();
    if (request.url === '/drip') {
      const timer = setInterval(() => response.write('x'), 50);
      return response.on('close', () => clearInterval(timer));
    }
    let body = '';
    request.on('data', (chunk: Buffer) => (body += String(chunk)));
    return request.on('end', () => response.writeHead(200, { 'x-seen': 'yes' }).end(`got ${body}`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  requests = [];
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

function outgoing(allowedHosts: readonly string[], names: Record<string, readonly string[]> = {}) {
  return createOutgoing({
    allowedHosts,
    timeoutMs: TIMEOUT_MS,
    resolve: async (hostname) =>
      (names[hostname] ?? []).map((address): Address => ({ address, family: address.includes(':') ? 6 : 4 })),
  });
}

describe('what counts as public', () => {
  it.each([
    ['8.8.8.8', true],
    ['203.1.112.9', true],
    ['2606:4700::1111', true],
    ['0.0.0.0', false],
    ['10.0.0.1', false],
    ['100.64.0.1', false],
    ['127.0.0.1', false],
    ['169.254.169.254', false],
    ['172.31.255.255', false],
    ['172.32.0.1', true],
    ['192.168.1.1', false],
    ['198.18.0.1', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['::1', false],
    ['::ffff:127.0.0.1', false],
    ['::ffff:8.8.8.8', false],
    ['::7f00:1', false],
    ['64:ff9b::7f00:1', false],
    ['fc00::1', false],
    ['fd00:ec2::254', false],
    ['fe80::1', false],
    ['fe80::1%eth0', false],
    ['ff02::1', false],
    ['2001:db8::1', false],
    ['2001::1', false],
    ['2002:7f00:1::', false],
    ['not an address', false],
  ])('%s: %s', (address, isPublic) => {
    expect(isPublicAddress(address)).toBe(isPublic);
  });
});

describe('an address that is not on the allow-list', () => {
  const names = {
    'inner.example': ['10.1.2.3'],
    'mixed.example': ['93.184.216.34', '127.0.0.1'],
    'metadata.example': ['169.254.169.254'],
    'public.example': ['93.184.216.34'],
    'mapped.example': ['::ffff:127.0.0.1'],
  };
  it.each([
    'https://127.0.0.1/',
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0177.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://169.254.169.254/latest/meta-data',
    'https://inner.example/',
    'https://inner.example./',
    'https://mixed.example/',
    'https://metadata.example/',
    'https://mapped.example/',
    'http://public.example/',
    'https://user:secret@public.example/',
    'file:///etc/passwd',
    'gopher://public.example/',
    'not a url',
  ])('%s is refused before anything is sent', async (url) => {
    requests = [];
    await expect(outgoing([], names).request(url)).rejects.toMatchObject({ code: 'address_refused' });
    expect(requests).toEqual([]);
  });

  it.each([['10.0.0.0/8'], ['other.example'], ['127.0.0.2']])(
    'stays refused beside an entry for another: %s',
    async (entry) => {
      await expect(outgoing([entry]).request(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
        code: 'address_refused',
      });
    },
  );
});

describe('an address on the allow-list', () => {
  it.each([
    ['its network', '127.0.0.0/8', '127.0.0.1'],
    ['its address', '127.0.0.1', '127.0.0.1'],
    ['its name', 'app.internal', 'app.internal'],
    ['its name, written otherwise', 'App.Internal', 'app.internal'],
    ['the network that its name leads to', '127.0.0.0/8', 'app.internal'],
  ])('is reached by %s, also by http', async (_what, entry, host) => {
    const client = outgoing([entry], { 'app.internal': ['127.0.0.1'] });
    const answer = await client.request(`http://${host}:${port}/`, { method: 'POST', body: 'hello' });
    expect([answer.status, String(answer.body)]).toEqual([200, 'got hello']);
  });

  it('is connected to by the address that was judged, whatever the name says afterwards', async () => {
    let asked = 0;
    const client = createOutgoing({
      allowedHosts: ['127.0.0.0/8'],
      timeoutMs: TIMEOUT_MS,
      resolve: async () => {
        asked += 1;
        return [{ address: '127.0.0.1', family: 4 }];
      },
    });
    requests = [];
    expect((await client.request(`http://rebinding.example:${port}/`)).status).toBe(200);
    expect({ asked, requests }).toEqual({ asked: 1, requests: [`GET / rebinding.example:${port}`] });
  });

  it('is not followed to where it redirects', async () => {
    requests = [];
    expect((await outgoing(['127.0.0.1']).request(`http://127.0.0.1:${port}/redirect`)).status).toBe(302);
    expect(requests).toHaveLength(1);
  });

  it.each([
    ['/large', 'answer_too_large'],
    ['/silent', 'timed_out'],
    ['/drip', 'timed_out'],
  ])('may not keep us: %s', async (path, code) => {
    const begun = performance.now();
    await expect(outgoing(['127.0.0.1']).request(`http://127.0.0.1:${port}${path}`)).rejects.toMatchObject({
      code,
    });
    expect(performance.now() - begun).toBeLessThan(TIMEOUT_MS * 5);
  });

  it.each(['/other-protocol', '/no-status'])('gives no answer that is none: %s', async (path) => {
    const begun = performance.now();
    for (const way of ['request', 'fetch'] as const) {
      await expect(outgoing(['127.0.0.1'])[way](`http://127.0.0.1:${port}${path}`)).rejects.toMatchObject({
        code: 'unreachable',
      });
    }
    expect(performance.now() - begun).toBeLessThan(TIMEOUT_MS);
  });

  it('may be away', async () => {
    await expect(outgoing(['127.0.0.1']).request('http://127.0.0.1:1/')).rejects.toMatchObject({
      code: 'unreachable',
    });
    await expect(outgoing([]).request('https://nowhere.example/')).rejects.toMatchObject({
      code: 'unreachable',
    });
  });

  it('answers in the shape of fetch as well', async () => {
    const response = await outgoing(['127.0.0.1']).fetch(`http://127.0.0.1:${port}/`);
    expect([response.status, response.headers.get('x-seen'), await response.text()]).toEqual([
      200,
      'yes',
      'got ',
    ]);
  });
});

describe('a host that a stranger names', () => {
  /** A name server (RFC 1035 §4.1) that knows one name, and one that it does not answer for. */
  async function withNameServer<T>(work: (server: string, asked: string[]) => Promise<T>): Promise<T> {
    const asked: string[] = [];
    const socket = createSocket('udp4');
    const zone: Record<string, Buffer> = {
      'app.example 1': Buffer.from([8, 8, 8, 8]),
      'app.example 28': Buffer.from('26064700000000000000000000001111', 'hex'),
      'inner.example 1': Buffer.from([10, 0, 0, 1]),
    };
    socket.on('message', (query, { port: to, address }) => {
      const labels: string[] = [];
      let at = 12;
      while (query[at]) {
        labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
        at += 1 + query[at]!;
      }
      const question = query.subarray(12, at + 5);
      const name = `${labels.join('.').toLowerCase()} ${query.readUInt16BE(at + 1)}`;
      asked.push(name);
      const data = zone[name];
      const head = Buffer.alloc(12);
      query.copy(head, 0, 0, 2);
      head.writeUInt16BE(data ? 0x8180 : 0x8183, 2);
      head.writeUInt16BE(1, 4);
      head.writeUInt16BE(data ? 1 : 0, 6);
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0);
      query.copy(record, 2, at + 1, at + 5);
      record.writeUInt16BE(data?.length ?? 0, 10);
      socket.send(Buffer.concat([head, question, ...(data ? [record, data] : [])]), to, address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    try {
      return await work(`127.0.0.1:${socket.address().port}`, asked);
    } finally {
      socket.close();
    }
  }

  it('is looked up at the name servers, in both families', async () => {
    await withNameServer(async (nameServer) => {
      expect(await resolveByNameServers('app.example', [nameServer])).toEqual([
        { address: '8.8.8.8', family: 4 },
        { address: '2606:4700::1111', family: 6 },
      ]);
      await expect(resolveByNameServers('none.example', [nameServer])).rejects.toMatchObject({
        code: 'ENOTFOUND',
      });
    });
  });

  it('is judged by what they say, and is never this machine by a name', async () => {
    await withNameServer(async (nameServer, asked) => {
      const client = createOutgoing({
        allowedHosts: [],
        timeoutMs: TIMEOUT_MS,
        resolve: (hostname) => resolveByNameServers(hostname, [nameServer]),
      });
      for (const host of ['inner.example', 'localhost', 'db.localhost']) {
        await expect(client.request(`https://${host}/`)).rejects.toMatchObject({ code: 'address_refused' });
      }
      expect(asked.every((question) => question.startsWith('inner.example '))).toBe(true);
    });
  });
});
