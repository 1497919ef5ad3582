import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** The proxies whose word about the client we take. */
export interface TrustedProxies {
  includes: (address: string | undefined) => boolean;
}

/** @param networks addresses or CIDR networks, checked when the configuration was read */
export function createTrustedProxies(networks: readonly string[]): TrustedProxies {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return {
    includes: (address) => {
      if (networks.length === 0) return false;
      const plain = withoutMapping(address ?? '');
      const family = isIP(plain);
      return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
    },
  };
}

/**
 * The address of the client: the last one in `X-Forwarded-For` that no trusted proxy stands behind. What an untrusted
 * peer writes there is not read.
 */
export function clientAddress(req: IncomingMessage, trusted: TrustedProxies): string | undefined {
  const peer = withoutMapping(req.socket.remoteAddress ?? '');
  if (!trusted.includes(peer)) return peer || undefined;
  const forwarded = String(req.headers['x-forwarded-for'] ?? '')
    .split(',')
    .map((entry) => withoutMapping(entry.trim()))
    .filter((entry) => isIP(entry) !== 0);
  return forwarded.findLast((address) => !trusted.includes(address)) ?? forwarded[0] ?? peer;
}

/** An IPv4 client of a dual-stack socket (`::ffff:192.0.2.1`) is that client. */
function withoutMapping(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
