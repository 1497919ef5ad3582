import { BlockList, isIP } from 'node:net';

/** Each function returns what is wrong with the text, as the end of a sentence; undefined where it is in order. */
type Fault = string | undefined;

/** The issuer is compared character by character by every client (OIDC Discovery §4.3), so only its plain form is taken. */
export function issuerFault(text: string): Fault {
  const url = URL.parse(text);
  if (!url) return 'is not a URL';
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https://';
  if (url.username || url.password) return 'must not hold a user name or password';
  if (text.includes('?') || text.includes('#')) return 'must have neither a query nor a fragment';
  if (text.endsWith('/')) return 'must not end with a slash';
  const plain = url.pathname === '/' ? url.origin : url.origin + url.pathname;
  if (text !== plain) return `must be written in its plain form, ${plain}`;
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    return 'must be https (plain http is taken only on this machine: localhost, 127.0.0.1, [::1])';
  }
  return undefined;
}

/** @param hostname as `URL.hostname` gives it: lower case, IPv6 in brackets */
function isLoopbackHost(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    (isIP(hostname) === 4 && hostname.startsWith('127.'))
  );
}

export function connectionUrlFault(text: string, protocols: readonly string[]): Fault {
  const url = URL.parse(text);
  const expected = protocols.map((protocol) => `${protocol}//`).join(' or ');
  if (!url) return `is not a URL; it should begin with ${expected}`;
  return protocols.includes(url.protocol) ? undefined : `must begin with ${expected}`;
}

export function webUrlFault(text: string): Fault {
  return connectionUrlFault(text, ['https:', 'http:']);
}

/** An IP address or a network in CIDR form. */
export function networkFault(text: string): Fault {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  const fault = `must hold addresses such as 10.0.0.7 or networks such as 10.0.0.0/8; "${text}" is neither`;
  if (family === 0 || rest.length > 0) return fault;
  if (prefix === undefined) return undefined;
  const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  try {
    new BlockList().addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6');
    return undefined;
  } catch {
    return fault;
  }
}

/** A host name, an IP address, or a network in CIDR form. */
export function hostOrNetworkFault(text: string): Fault {
  if (networkFault(text) === undefined) return undefined;
  const isName =
    text.length <= 253 &&
    /^(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*$/i.test(text) &&
    !/^[\d.]+$/.test(text);
  return isName
    ? undefined
    : `must hold hosts such as app.internal, addresses or networks such as 10.0.0.0/8; "${text}" is none`;
}

/** A field name of HTTP (RFC 9110 §5.1), and none that means something else here. */
export function headerNameFault(text: string): Fault {
  if (!/^[a-z0-9-]{1,100}$/i.test(text)) return 'must be the name of a header, such as X-Client-Certificate';
  return /^(?:x-forwarded-.*|x-request-id|host|authorization|dpop|cookie)$/i.test(text)
    ? 'must be a header that means nothing else'
    : undefined;
}

export function listenAddressFault(text: string): Fault {
  return isIP(text) || text === 'localhost'
    ? undefined
    : 'must be an IP address to listen on, such as 127.0.0.1 or 0.0.0.0';
}

/** `address:port`, with IPv6 in brackets. Port 0 asks the system for a free one. */
export function parseListen(text: string): { address: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (!address || listenAddressFault(address) || port > 65_535) return undefined;
  return { address, port };
}
