import { AppError } from '../platform/errors.ts';
import type { ClientKind } from './client.ts';

const MAX_LENGTH = 2_048;
const LOOPBACK_ADDRESSES = new Set(['127.0.0.1', '[::1]']);
/** A domain name turned round, `com.example.app` (RFC 8252 §7.1): its owner is known, so others keep off it. */
const REVERSE_DOMAIN = /^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$/;

/** Where a redirect URI leads: `localhost` is loopback by a name, which another program may have redefined. */
export type UriDestination = 'https' | 'loopback' | 'localhost' | 'private_use';

/**
 * Checks what a client wants to register for `redirect_uris` or `post_logout_redirect_uris`. Requests are compared
 * with it character by character (RFC 9700 §4.1.3), so a URI that a parser would rewrite is refused, not corrected.
 *
 * Taken are https, http on the loopback interface (for a native client any port then fits, RFC 8252 §7.3), and for
 * native clients a private-use scheme in reverse-domain form (§7.1).
 *
 * @throws AppError `invalid_redirect_uri` (400), whose message says what to do
 */
export function checkRedirectUri(uri: string, kind: ClientKind): UriDestination {
  const { destination, url } = inspect(uri, refuseRedirect);
  if (kind === 'machine') {
    throw refuseRedirect(uri, 'a machine client acts for itself and has no redirect URIs; leave it out');
  }
  if (destination === 'private_use' && kind !== 'native') {
    throw refuseRedirect(
      uri,
      'a private-use scheme is for native clients; register the client as native or use https',
    );
  }
  if (kind === 'native' && destination === 'https' && isLoopback(url.hostname)) {
    throw refuseRedirect(uri, 'a native client listens on loopback with http; use http://127.0.0.1/…');
  }
  return destination;
}

/**
 * Checks a page of the client, such as `client_uri` or `initiate_login_uri`: https, or http on loopback.
 *
 * @param property its name, for the message
 * @throws AppError `invalid_client` (400)
 */
export function checkWebUri(uri: string, property: string): void {
  const refuse = (subject: string, advice: string): AppError =>
    new AppError('invalid_client', 400, `The ${property} ${JSON.stringify(subject)} is refused: ${advice}.`);
  if (inspect(uri, refuse).destination === 'private_use') throw refuse(uri, 'use https');
}

/**
 * Checks an address that our server asks, such as `backchannel_logout_uri`. Which hosts it may lead to is decided when
 * it is asked (platform/outgoing.ts): plain http reaches those on the operator's allow-list only.
 *
 * @throws AppError `invalid_client` (400)
 */
export function checkServerUri(
  uri: string,
  { property, mayBeHttp }: { property: string; mayBeHttp: boolean },
): void {
  const refuse = (subject: string, advice: string): AppError =>
    new AppError('invalid_client', 400, `The ${property} ${JSON.stringify(subject)} is refused: ${advice}.`);
  checkSpelling(uri, refuse);
  const url = URL.parse(uri);
  if (!url) throw refuse(uri, 'it is not an absolute URI; write it as https://host/path');
  if (url.protocol === 'http:' ? !mayBeHttp : url.protocol !== 'https:') throw refuse(uri, 'use https');
  checkPath(uri, refuse);
  if (url.href !== uri && url.href !== `${uri}/`)
    throw refuse(uri, `write it in its normal form, ${url.href}`);
}

/** The destination of a URI that was checked before. */
export function destinationOf(uri: string): UriDestination {
  return inspect(uri, refuseRedirect).destination;
}

/**
 * Checks an origin for CORS: scheme, host and port, nothing more (RFC 6454 §6.2).
 *
 * @throws AppError `invalid_client` (400)
 */
export function checkOrigin(origin: string): void {
  const refuse = (subject: string, advice: string): AppError =>
    new AppError('invalid_client', 400, `The origin ${JSON.stringify(subject)} is refused: ${advice}.`);
  const { url, destination } = inspect(origin, refuse);
  if (destination === 'private_use') throw refuse(origin, 'use https');
  if (url.origin !== origin) throw refuse(origin, `give scheme, host and port only, as in ${url.origin}`);
}

/** The origins that a browser client's pages come from, as its redirect URIs show. */
export function originsOf(redirectUris: readonly string[]): string[] {
  return [...new Set(redirectUris.filter((uri) => /^https?:/.test(uri)).map((uri) => new URL(uri).origin))];
}

function refuseRedirect(uri: string, advice: string): AppError {
  return new AppError(
    'invalid_redirect_uri',
    400,
    `The redirect URI ${JSON.stringify(uri)} is refused: ${advice}.`,
  );
}

type Refusal = (uri: string, advice: string) => AppError;

function inspect(uri: string, refuse: Refusal): { destination: UriDestination; url: URL } {
  checkSpelling(uri, refuse);
  const url = URL.parse(uri);
  if (!url) throw refuse(uri, 'it is not an absolute URI; write it as https://host/path');
  const destination = destinationOfUrl(uri, url, refuse);
  checkPath(uri, refuse);
  // A bare origin is what a browser sends as `https://app.example`, and its only rewriting is the slash.
  if (url.href !== uri && url.href !== `${uri}/`) {
    throw refuse(uri, `it is compared character by character, so write it in its normal form, ${url.href}`);
  }
  return { destination, url };
}

function checkSpelling(uri: string, refuse: Refusal): void {
  if (uri.length === 0) throw refuse(uri, 'it is empty');
  if (uri.length > MAX_LENGTH) {
    throw refuse(`${uri.slice(0, 60)}…`, `it is longer than ${MAX_LENGTH} characters`);
  }
  if (/[^\x21-\x7e]/.test(uri)) {
    throw refuse(uri, 'it holds white space, control or non-ASCII characters; percent-encode them');
  }
  if (uri.includes('\\')) throw refuse(uri, 'it holds a backslash; use a slash');
  if (uri.includes('*')) throw refuse(uri, 'wildcards are not supported; register each URI in full');
  if (uri.includes('#')) throw refuse(uri, 'it has a fragment; leave out "#" and what follows');
  const authority = /^[^:/?]+:\/\/([^/?]*)/.exec(uri)?.[1] ?? '';
  if (authority.includes('@')) throw refuse(uri, 'it holds user information; leave out what is before "@"');
}

function destinationOfUrl(uri: string, url: URL, refuse: Refusal): UriDestination {
  const scheme = url.protocol.slice(0, -1);
  if (scheme === 'https' || scheme === 'http') {
    if (!uri.toLowerCase().startsWith(`${scheme}://`)) throw refuse(uri, `write it as ${url.href}`);
    if (scheme === 'https') return 'https';
    if (LOOPBACK_ADDRESSES.has(url.hostname)) return 'loopback';
    if (url.hostname === 'localhost') return 'localhost';
    throw refuse(uri, 'http is for loopback (127.0.0.1, [::1], localhost) only; use https');
  }
  if (!REVERSE_DOMAIN.test(scheme)) {
    throw refuse(
      uri,
      `the scheme "${scheme}" is not supported; use https, or for a native client a domain of yours turned round, as in com.example.app:/callback`,
    );
  }
  if (!uri.startsWith(`${scheme}:/`)) {
    throw refuse(uri, `write the scheme in lower case and a slash after it, as in ${scheme}:/callback`);
  }
  return 'private_use';
}

/** Refuses `.` and `..` segments however they are encoded, for a server on the way may decode more than we do. */
function checkPath(uri: string, refuse: Refusal): void {
  let path = uri.replace(/^[^:]+:(\/\/[^/?]*)?/, '').replace(/\?.*$/, '');
  if (/%(?![0-9a-f]{2})/i.test(uri)) throw refuse(uri, 'a "%" is not followed by two hexadecimal digits');
  if (/%(0[0-9a-f]|1[0-9a-f]|7f)/i.test(uri)) throw refuse(uri, 'it holds an encoded control character');
  for (;;) {
    if (path.split(/[/\\]/).some((segment) => segment === '.' || segment === '..')) {
      throw refuse(uri, 'its path holds "." or ".." segments; write the path they lead to');
    }
    const decoded = path.replaceAll(/%(2e|2f|5c|25)/gi, (encoded) => decodeURIComponent(encoded));
    if (decoded === path) return;
    path = decoded;
  }
}

function isLoopback(hostname: string): boolean {
  return LOOPBACK_ADDRESSES.has(hostname) || hostname === 'localhost';
}
