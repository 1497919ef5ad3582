import { isHostOf } from '../registration/policy.ts';

const MAX_LENGTH = 500;

/** Whether it wants to be the id of a client that a document describes. */
export function isUrlShaped(clientId: string): boolean {
  return /^https:/i.test(clientId);
}

/**
 * What is wrong with such an id: an https URL with a path, and nothing in it that two parsers could read in two ways
 * (Client ID Metadata Documents §3). Undefined where it is in order.
 */
export function clientIdUrlFault(clientId: string): string | undefined {
  if (clientId.length > MAX_LENGTH) return `it is longer than ${MAX_LENGTH} characters`;
  if (/[^\x21-\x7e]|[\\"<>^`{|}]/.test(clientId)) return 'it holds characters that a URL does not';
  if (clientId.includes('#')) return 'it has a fragment';
  if (clientId.includes('?')) return 'it has a query';
  const url = URL.parse(clientId);
  if (!url || url.protocol !== 'https:') return 'it is not an https URL';
  if (url.username !== '' || url.password !== '' || /^https:\/\/[^/]*@/i.test(clientId)) {
    return 'it holds user information';
  }
  if (/%(?:2e|2f|5c|00)/i.test(clientId)) return 'it holds encoded dots, slashes or zeros';
  if (url.pathname === '/') return 'it has no path';
  // `.` and `..`, upper case in the host, the usual port: a parser writes them differently.
  return url.href === clientId ? undefined : `it is not in its normal form, ${url.href}`;
}

/** @param hosts `app.example.com`, `*.example.com`, `app.example.com:8443`, `*`; with `!` in front: not these */
export function isHostPermitted(clientId: string, hosts: readonly string[]): boolean {
  const { host } = new URL(clientId);
  const matches = (entry: string): boolean => isHostOf(host, entry);
  return (
    hosts.some((entry) => !entry.startsWith('!') && matches(entry)) &&
    !hosts.some((entry) => entry.startsWith('!') && matches(entry.slice(1)))
  );
}
