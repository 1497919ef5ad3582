/**
 * Requests that this server makes to addresses that others name (a client's logout notices, its keys): nobody may turn
 * them against what stands behind our firewall. The host is resolved first, every address that it has is judged, and
 * the connection goes to the very addresses that were judged, so a name that answers differently the second time gains
 * nothing. Redirects are answers like any other, and are not followed.
 */
import { lookup, Resolver } from 'node:dns/promises';
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

import { AppError } from './errors.ts';

export interface OutgoingRequest {
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
}

export interface OutgoingAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export interface Outgoing {
  /**
   * @throws AppError 502 `address_refused` (nothing was sent), `unreachable`, `answer_too_large`, `timed_out`
   */
  request: (url: string, options?: OutgoingRequest) => Promise<OutgoingAnswer>;
  /** The same in the shape of the platform's `fetch`, for libraries that take one. */
  fetch: (url: string | URL | Request, init?: RequestInit) => Promise<Response>;
}

export interface Address {
  address: string;
  family: 4 | 6;
}

export interface OutgoingOptions {
  /**
   * Hosts (`idp.internal`), addresses and networks (`10.1.0.0/16`) that may be reached although they are not public, and
   * by plain http as well.
   */
  allowedHosts: readonly string[];
  /** For the whole exchange: resolving, connecting, sending and reading. */
  timeoutMs: number;
  maxAnswerBytes?: number;
  resolve?: (hostname: string) => Promise<readonly Address[]>;
}

const MAX_ANSWER_BYTES = 256 * 1024;
/** An answer without a body must be built without one (Fetch §2.2.3). */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** IANA's special-purpose registries: private, loopback, link-local (cloud metadata), shared, documentation, multicast. */
const SPECIAL_IPV4 = listOf(
  'ipv4',
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 ' +
    '192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 ' +
    '198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
);
/** Only global unicast is public at all, and of that not what tunnels to, or is reserved for, something else. */
const GLOBAL_IPV6 = listOf('ipv6', '2000::/3');
const SPECIAL_IPV6 = listOf('ipv6', '2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20');

/** Whether an address is one of the public network. */
export function isPublicAddress(address: string): boolean {
  const [plain = ''] = address.split('%');
  if (isIP(plain) === 4) return !SPECIAL_IPV4.check(plain, 'ipv4');
  // The IPv4-mapped form (::ffff:127.0.0.1) is not global unicast, so it is never public.
  if (isIP(plain) === 6) return GLOBAL_IPV6.check(plain, 'ipv6') && !SPECIAL_IPV6.check(plain, 'ipv6');
  return false;
}

export function createOutgoing(options: OutgoingOptions): Outgoing {
  const { allowedHosts, timeoutMs, maxAnswerBytes = MAX_ANSWER_BYTES, resolve = resolveAll } = options;
  const isAllowed = allowList(allowedHosts);

  /** The addresses to connect to, every one of them judged. */
  const judge = async (url: URL): Promise<readonly Address[]> => {
    const hostname = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
    if (url.username || url.password) throw refused(`${url.host} is written with user information`);
    const family = isIP(hostname);
    const addresses =
      family === 0 ? await resolve(hostname) : [{ address: hostname, family: family as 4 | 6 }];
    if (addresses.length === 0) throw unreachable(new Error(`${hostname} has no address`));
    const strangers = addresses.filter(({ address }) => !isAllowed(hostname, address));
    const inner = strangers.find(({ address }) => !isPublicAddress(address));
    if (inner) {
      throw refused(
        `${hostname} leads to ${inner.address}, which is not public; outgoing.allowedHosts can allow it`,
      );
    }
    if (url.protocol !== 'https:' && strangers.length > 0) throw refused(`${url.host} is not asked by https`);
    return addresses;
  };

  const request = async (target: string, sent: OutgoingRequest = {}): Promise<OutgoingAnswer> => {
    const url = URL.parse(target);
    if (!url || !['https:', 'http:'].includes(url.protocol)) throw refused('it is no https address');
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const addresses = await withSignal(judge(url), signal);
      return await withSignal(exchange(url, { addresses, signal, maxAnswerBytes, ...sent }), signal);
    } catch (error) {
      if (signal.aborted) throw new AppError('timed_out', 502, `no answer within ${timeoutMs} ms`);
      throw error instanceof AppError ? error : unreachable(error);
    }
  };

  return {
    request,
    fetch: async (url, init = {}) => {
      const { status, headers, body } = await request(url instanceof Request ? url.url : String(url), {
        ...(init.method === undefined ? {} : { method: init.method }),
        headers: Object.fromEntries(new Headers(init.headers)),
        ...(typeof init.body === 'string' ? { body: init.body } : {}),
      });
      return new Response(WITHOUT_BODY.has(status) ? null : new Uint8Array(body), { status, headers });
    },
  };
}

function exchange(
  url: URL,
  {
    addresses,
    signal,
    maxAnswerBytes,
    method = 'GET',
    headers = {},
    body,
  }: OutgoingRequest & { addresses: readonly Address[]; signal: AbortSignal; maxAnswerBytes: number },
): Promise<OutgoingAnswer> {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent: ClientRequest = send(url, {
      method,
      signal,
      // A connection of its own: one of a pool may have been judged when the name led elsewhere.
      agent: false,
      lookup: pinnedTo(addresses),
      headers: {
        'accept-encoding': 'identity',
        ...headers,
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      },
    });
    sent.once('error', reject);
    // Without a listener a 101 ends the connection and tells nobody, not even when the time is up.
    sent.once('upgrade', (answer, socket) => {
      socket.destroy();
      reject(new Error(`it answers ${answer.statusCode}, which nobody asked for`));
    });
    sent.once('response', (answer) => {
      read(answer, maxAnswerBytes).then(resolve, (error: Error) => {
        sent.destroy();
        reject(error);
      });
    });
    sent.end(body);
  });
}

async function read(answer: IncomingMessage, maxBytes: number): Promise<OutgoingAnswer> {
  const { statusCode: status = 0 } = answer;
  if (status < 200 || status > 599)
    throw new Error(`it answers ${status}, which is no status (RFC 9110 §15)`);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new AppError('answer_too_large', 502, `the answer is longer than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const headers = Object.entries(answer.headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, [value].flat().join(', ')] as const],
  );
  return {
    status,
    headers: Object.fromEntries(headers),
    body: Buffer.concat(chunks),
  };
}

function pinnedTo(addresses: readonly Address[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first] = addresses;
    if (all) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family ?? 4);
  };
}

function allowList(entries: readonly string[]): (hostname: string, address: string) => boolean {
  const isNetwork = (entry: string): boolean => isIP(entry.split('/')[0] ?? '') !== 0;
  const names = new Set(entries.filter((entry) => !isNetwork(entry)).map((name) => name.toLowerCase()));
  const networks = new BlockList();
  for (const entry of entries.filter(isNetwork)) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
    networks.addSubnet(address, bits === undefined ? (family === 'ipv4' ? 32 : 128) : Number(bits), family);
  }
  return (hostname, address) => {
    if (names.has(hostname)) return true;
    const [plain = ''] = address.split('%');
    return networks.check(plain, isIP(plain) === 4 ? 'ipv4' : 'ipv6');
  };
}

const NAME_SERVER_TIMEOUT_MS = 1_500;
const NAME_SERVER_TRIES = 2;

/**
 * For hosts that anybody may name. The system's way (getaddrinfo) keeps one of very few threads for as long as a
 * stranger's name servers please, and whoever opens a connection to our own database would wait for that thread.
 *
 * @param servers to be asked instead of the system's
 */
export async function resolveByNameServers(
  hostname: string,
  servers?: readonly string[],
): Promise<readonly Address[]> {
  // RFC 6761 §6.3: not for name servers to say.
  if (/(?:^|\.)localhost$/i.test(hostname)) return [{ address: '127.0.0.1', family: 4 }];
  const resolver = new Resolver({ timeout: NAME_SERVER_TIMEOUT_MS, tries: NAME_SERVER_TRIES });
  if (servers) resolver.setServers(servers);
  const [four, six] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const found = [
    ...(four.status === 'fulfilled' ? four.value : []).map((address): Address => ({ address, family: 4 })),
    ...(six.status === 'fulfilled' ? six.value : []).map((address): Address => ({ address, family: 6 })),
  ];
  if (found.length === 0 && four.status === 'rejected') throw four.reason as Error;
  return found;
}

async function resolveAll(hostname: string): Promise<readonly Address[]> {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
}

function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function listOf(family: 'ipv4' | 'ipv6', networks: string): BlockList {
  const list = new BlockList();
  for (const network of networks.split(' ')) {
    const [address = '', bits] = network.split('/');
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}

function refused(reason: string): AppError {
  return new AppError('address_refused', 502, `The address is not asked: ${reason}.`);
}

function unreachable(cause: unknown): AppError {
  return new AppError('unreachable', 502, 'The address cannot be reached.', { cause });
}
