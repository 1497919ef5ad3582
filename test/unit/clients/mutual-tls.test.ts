import { describe, expect, it } from '@jest/globals';

import { defineClient, type DefinitionInput } from '../../../src/clients/definition.ts';
import { isDistinguishedName, sameName } from '../../../src/clients/distinguished-name.ts';
import { jwksOfCertificates } from '../../../src/clients/mutual-tls.ts';
import { makeCertificate } from '../../support/certificates.ts';

const WEB = { name: 'Wiki', redirectUris: ['https://wiki.example/cb'] };
const own = makeCertificate();
const CERTIFIED = jwksOfCertificates(own.pem);

describe('names of certificate subjects (RFC 4514)', () => {
  it.each<[string, string, string]>([
    ['the order that certificates have it in, turned round', 'CN=a,O=b,C=CH', 'C=CH\nO=b\nCN=a'],
    ['types in words, in numbers and in any case', 'commonName=a,2.5.4.10=b,c=CH', 'C=CH\nO=b\nCN=a'],
    ['spaces after commas', 'CN=a, O=b', 'O=b\nCN=a'],
    ['escapes of either sort', 'CN=a\\, b\\2B\\C3\\A4', 'CN=a\\, b\\+ä'],
    [
      'values in hexadecimal, as for types without a name',
      '1.2.3.4=#0C036F6464,C=#13024348',
      'C=CH\n1.2.3.4=odd',
    ],
    ['values in hexadecimal of any sort of string', 'CN=#1E0400E40062,E=#160161', 'emailAddress=a\nCN=äb'],
    ['a long value in hexadecimal', `CN=#0C8180${'61'.repeat(128)}`, `CN=${'a'.repeat(128)}`],
    [
      'types that certificates of companies have',
      '2.5.4.15=x,1.3.6.1.4.1.311.60.2.1.3=BR',
      'jurisdictionC=BR\nbusinessCategory=x',
    ],
    ['several attributes in one part, in any order', 'CN=a+UID=1,O=b', 'O=b\nUID=1 + CN=a'],
  ])('are the same but for %s', (_name, registered, subject) => {
    expect(sameName(registered, subject)).toBe(true);
  });

  it.each<[string, string, string]>([
    ['the order', 'C=CH,O=b,CN=a', 'C=CH\nO=b\nCN=a'],
    ['a part more', 'CN=a', 'O=b\nCN=a'],
    ['a part less', 'CN=a,O=b', 'CN=a'],
    ['a type', 'OU=a', 'CN=a'],
    ['the case of a value', 'CN=A', 'CN=a'],
    ['one value that spells two parts', 'CN=a,O=b', 'CN=a\\,O=b'],
    ['a value in hexadecimal', 'CN=#0C0161', 'CN=b'],
    ['a value that only looks like hexadecimal', 'CN=#0C0161', 'CN=\\#0C0161'],
    ['one value that spells two attributes', 'CN=a+O=b', 'CN=a\\+O=b'],
  ])('differ by %s', (_name, registered, subject) => {
    expect(sameName(registered, subject)).toBe(false);
  });

  it.each([
    '',
    'payments',
    'CN=',
    '=a',
    'CN=a,',
    'CN=a\\',
    'CN=a\\zb',
    'CN=#0401',
    'CN=#0C',
    'CN=#0C0261',
    'CN=#0C800161',
    'CN=#0C01616',
    'CN=#zz',
    'CN=a;O=b',
    'C N=a',
  ])('are none: %j', (text) => {
    expect(isDistinguishedName(text)).toBe(false);
  });
});

describe('a client that authenticates by a certificate', () => {
  it.each<[string, Partial<DefinitionInput>]>([
    ['its subject', { authMethod: 'tls_client_auth', tlsClientAuthSubjectDn: 'CN=wiki' }],
    ['itself', { authMethod: 'self_signed_tls_client_auth', jwks: CERTIFIED }],
    [
      'itself, published',
      { authMethod: 'self_signed_tls_client_auth', jwksUri: 'https://wiki.example/jwks' },
    ],
  ])('is known by %s', (_name, input) => {
    expect(defineClient({ ...WEB, ...input })).toMatchObject({ kind: 'web', ...input });
  });

  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    ['no subject', { authMethod: 'tls_client_auth' }, /exactly one of tls_client_auth_subject_dn/],
    [
      'two subjects',
      { authMethod: 'tls_client_auth', tlsClientAuthSubjectDn: 'CN=a', tlsClientAuthSanDns: 'a.example' },
      /exactly one of/,
    ],
    ['a subject, and a secret', { tlsClientAuthSanDns: 'a.example' }, /is for tls_client_auth/],
    ['a name that is none', { authMethod: 'tls_client_auth', tlsClientAuthSubjectDn: 'wiki' }, /CN=payments/],
    ['a host that is none', { authMethod: 'tls_client_auth', tlsClientAuthSanDns: '*.example' }, /host name/],
    [
      'an address that is none',
      { authMethod: 'tls_client_auth', tlsClientAuthSanIp: '10.0.0' },
      /IP address/,
    ],
    ['a URI that is none', { authMethod: 'tls_client_auth', tlsClientAuthSanUri: 'wiki' }, /a URI/],
    ['an e-mail that is none', { authMethod: 'tls_client_auth', tlsClientAuthSanEmail: 'ops' }, /e-mail/],
    ['no certificate', { authMethod: 'self_signed_tls_client_auth' }, /needs the certificate/],
    [
      'a key without one',
      {
        authMethod: 'self_signed_tls_client_auth',
        jwks: { keys: [{ ...CERTIFIED.keys[0], x5c: undefined }] },
      },
      /"x5c"/,
    ],
    [
      'garbage for one',
      {
        authMethod: 'self_signed_tls_client_auth',
        jwks: { keys: [{ ...CERTIFIED.keys[0], x5c: ['AAAA'] }] },
      },
      /holds no certificate/,
    ],
    [
      'the one of another key',
      {
        authMethod: 'self_signed_tls_client_auth',
        jwks: { keys: [{ ...CERTIFIED.keys[0], x5c: [makeCertificate().der] }] },
      },
      /certificate of another key/,
    ],
    [
      'tokens that are bound twice',
      { dpopBoundAccessTokens: true, tlsClientCertificateBoundAccessTokens: true },
      /to a certificate or to a DPoP key/,
    ],
    [
      'DPoP nonces for tokens that are bound to a certificate',
      { requireDpopNonce: true, tlsClientCertificateBoundAccessTokens: true },
      /bound by DPoP/,
    ],
  ])('is refused with %s', (_name, input, message) => {
    expect(() => defineClient({ ...WEB, ...input })).toThrow(message);
  });
});
