import { describe, expect, it } from '@jest/globals';

import type { ClientKind } from '../../../src/clients/client.ts';
import {
  checkOrigin,
  checkRedirectUri,
  checkWebUri,
  originsOf,
  type UriDestination,
} from '../../../src/clients/redirect-uris.ts';

describe('a redirect URI', () => {
  it.each<[ClientKind, string, UriDestination]>([
    ['web', 'https://app.example/callback', 'https'],
    ['web', 'https://app.example', 'https'],
    ['web', 'https://app.example/', 'https'],
    ['web', 'https://app.example:8443/cb', 'https'],
    ['web', 'https://app.example/cb?tenant=a', 'https'],
    ['web', 'https://app.example/cb?next=../x', 'https'],
    ['web', 'https://app.example/a%20b', 'https'],
    ['web', 'https://app.example/a..b/.well-known/cb', 'https'],
    ['web', 'https://192.0.2.7/cb', 'https'],
    ['web', 'https://localhost/cb', 'https'],
    ['web', 'https://xn--bcher-kva.example/cb', 'https'],
    ['web', 'http://localhost:3000/cb', 'localhost'],
    ['web', 'http://localhost:3000', 'localhost'],
    ['web', 'http://127.0.0.1:3000/cb', 'loopback'],
    ['browser', 'https://spa.example/cb', 'https'],
    ['browser', 'http://localhost:5173/', 'localhost'],
    ['native', 'http://127.0.0.1/cb', 'loopback'],
    ['native', 'http://[::1]/cb', 'loopback'],
    ['native', 'http://[::1]:9000/cb', 'loopback'],
    ['native', 'http://localhost/cb', 'localhost'],
    ['native', 'https://app.example/claimed', 'https'],
    ['native', 'com.example.app:/callback', 'private_use'],
    ['native', 'com.example.app://callback', 'private_use'],
  ])('of a %s client may be %s', (kind, uri, destination) => {
    expect(checkRedirectUri(uri, kind)).toBe(destination);
  });

  it.each<[string, ClientKind, string, RegExp]>([
    ['is empty', 'web', '', /empty/],
    ['is relative', 'web', '/callback', /absolute/],
    ['has no host', 'web', 'https://', /absolute/],
    ['has one slash', 'web', 'https:/app.example/cb', /write it as https:\/\/app\.example\/cb/],
    ['is http elsewhere', 'web', 'http://app.example/cb', /use https/],
    ['starts like localhost', 'web', 'http://localhost.evil.example/cb', /use https/],
    ['starts like loopback', 'web', 'http://127.0.0.1.evil.example/cb', /use https/],
    ['is another loopback address', 'web', 'http://127.0.0.2/cb', /use https/],
    ['is any address', 'web', 'http://0.0.0.0/cb', /use https/],
    ['shortens loopback', 'web', 'http://127.1/cb', /normal form, http:\/\/127\.0\.0\.1\/cb/],
    ['spells loopback in hex', 'web', 'http://0x7f000001/cb', /normal form/],
    ['has a fragment', 'web', 'https://app.example/cb#x', /fragment/],
    ['has an empty fragment', 'web', 'https://app.example/cb#', /fragment/],
    ['has a wildcard host', 'web', 'https://*.app.example/cb', /wildcard/],
    ['has a wildcard path', 'web', 'https://app.example/*', /wildcard/],
    ['has a user', 'web', 'https://app.example@evil.example/cb', /user information/],
    ['has an empty user', 'web', 'https://@app.example/cb', /user information/],
    ['has a user and password', 'web', 'https://u:p@app.example/cb', /user information/],
    ['is javascript', 'web', 'javascript:alert(1)', /not supported/],
    ['is javascript with a host', 'native', 'javascript://app.example/%0aalert(1)', /not supported/],
    ['is data', 'native', 'data:text/html,x', /not supported/],
    ['is vbscript', 'native', 'vbscript:x', /not supported/],
    ['is a file', 'native', 'file:///etc/passwd', /not supported/],
    ['is a blob', 'native', 'blob:https://app.example/x', /not supported/],
    ['is ftp', 'web', 'ftp://app.example/cb', /not supported/],
    ['has a scheme without a dot', 'native', 'myapp:/cb', /com\.example\.app/],
    ['has a private-use scheme in a web client', 'web', 'com.example.app:/cb', /native/],
    ['has a private-use scheme in a browser client', 'browser', 'com.example.app:/cb', /native/],
    ['has no slash after its scheme', 'native', 'com.example.app:cb', /slash/],
    ['has a scheme in capitals', 'native', 'COM.example.app:/cb', /lower case/],
    ['has a scheme that ends in a dot', 'native', 'com.example.:/cb', /not supported/],
    ['is https on loopback in a native client', 'native', 'https://127.0.0.1/cb', /http/],
    ['is https on localhost in a native client', 'native', 'https://localhost/cb', /http/],
    ['holds a space', 'web', 'https://app.example/a b', /white space/],
    ['starts with a space', 'web', ' https://app.example/', /white space/],
    ['holds a line break', 'web', 'https://app.example/cb\nx', /white space/],
    ['holds a tab inside the scheme', 'web', 'ht\ttps://app.example/', /white space/],
    ['holds a NUL', 'web', 'https://app.example/\u0000', /white space/],
    ['holds an encoded line break', 'web', 'https://app.example/%0d%0aX', /encoded control/],
    ['holds an encoded NUL', 'web', 'https://app.example/cb?a=%00', /encoded control/],
    ['holds letters beyond ASCII', 'web', 'https://bücher.example/cb', /non-ASCII/],
    ['holds a backslash', 'web', 'https://app.example\\@evil.example/cb', /backslash/],
    ['walks up', 'web', 'https://app.example/a/../b', /segments/],
    ['ends in dots', 'web', 'https://app.example/a/..', /segments/],
    ['stays', 'web', 'https://app.example/./b', /segments/],
    ['walks up encoded', 'web', 'https://app.example/a/%2e%2e/b', /segments/],
    ['walks up half encoded', 'web', 'https://app.example/a/.%2E/b', /segments/],
    ['walks up by an encoded slash', 'web', 'https://app.example/a/..%2fb', /segments/],
    ['walks up by an encoded backslash', 'web', 'https://app.example/a/..%5Cb', /segments/],
    ['walks up encoded twice', 'web', 'https://app.example/a/%252e%252e/b', /segments/],
    ['walks up encoded thrice', 'web', 'https://app.example/a/%25252e%25252e%252fb', /segments/],
    ['walks up in a private-use scheme', 'native', 'com.example.app:/a/../b', /segments/],
    ['has a stray percent sign', 'web', 'https://app.example/100%', /hexadecimal/],
    ['has a host in capitals', 'web', 'https://App.Example/cb', /normal form, https:\/\/app\.example\/cb/],
    ['has a scheme in capitals', 'web', 'HTTPS://app.example/cb', /normal form/],
    ['names the default port', 'web', 'https://app.example:443/cb', /normal form/],
    ['has an empty port', 'web', 'https://app.example:/cb', /normal form/],
    ['would be percent-encoded', 'web', 'https://app.example/<x>', /normal form/],
    ['is a path away from its host', 'web', 'https://app.example?x=1', /normal form/],
    ['is too long', 'web', `https://app.example/${'a'.repeat(2_048)}`, /longer/],
    ['belongs to a machine', 'machine', 'https://app.example/cb', /machine/],
  ])('that %s is refused, with advice (%s client, %j)', (_, kind, uri, advice) => {
    const check = (): unknown => checkRedirectUri(uri, kind);
    expect(check).toThrow(advice);
    expect(check).toThrow(expect.objectContaining({ code: 'invalid_redirect_uri', status: 400 }));
  });
});

describe('a page of a client', () => {
  it.each(['https://app.example', 'https://app.example/login?from=op', 'http://localhost:8080/start'])(
    'may be %s',
    (uri) => {
      expect(() => checkWebUri(uri, 'client_uri')).not.toThrow();
    },
  );

  it.each([
    'http://app.example/',
    'com.example.app:/start',
    'javascript:alert(1)',
    'https://u@app.example/',
    '//app.example/',
  ])('may not be %s', (uri) => {
    expect(() => checkWebUri(uri, 'initiate_login_uri')).toThrow(/initiate_login_uri .* is refused: /);
  });
});

describe('an origin for CORS', () => {
  it.each(['https://spa.example', 'https://spa.example:8443', 'http://localhost:5173'])(
    'may be %s',
    (origin) => {
      expect(() => checkOrigin(origin)).not.toThrow();
    },
  );

  it.each([
    '*',
    'null',
    'https://spa.example/',
    'https://spa.example/x',
    'http://spa.example',
    'com.example.app:/',
  ])('may not be %s', (origin) => {
    expect(() => checkOrigin(origin)).toThrow(/is refused/);
  });

  it('follows from the redirect URIs', () => {
    expect(
      originsOf([
        'https://a.example/cb',
        'https://a.example/other',
        'http://localhost:1/',
        'com.example.app:/cb',
      ]),
    ).toEqual(['https://a.example', 'http://localhost:1']);
  });
});
