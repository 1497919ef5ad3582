/** X.509 certificates (RFC 5280) made in the test, written in DER by hand: no tool needs to be installed for it. */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

export interface TestCertificate {
  pem: string;
  /** Base64 of its DER, as `x5c` and RFC 9440 have it. */
  der: string;
  keyPem: string;
  key: KeyObject;
  subject: Names;
}

/** By their types: `CN`, `O`, `C`, `emailAddress`; the least specific first. */
type Names = readonly (readonly [type: keyof typeof NAME_TYPES, value: string])[];

export interface CertificateInput {
  subject?: Names;
  /** Absent: signed by its own key. */
  issuer?: TestCertificate;
  isAuthority?: boolean;
  alternativeNames?: readonly (readonly ['DNS' | 'URI' | 'IP' | 'email', string])[];
  notBefore?: Date;
  notAfter?: Date;
  key?: KeyObject;
}

const NAME_TYPES = {
  CN: '550403',
  C: '550406',
  O: '55040a',
  OU: '55040b',
  emailAddress: '2a864886f70d010901',
};
const ALTERNATIVE_TAGS = { email: 0x81, DNS: 0x82, URI: 0x86, IP: 0x87 };
const DAY_MS = 86_400_000;

export function makeCertificate(input: CertificateInput = {}): TestCertificate {
  const { subject = [['CN', 'client']], issuer, isAuthority = false, alternativeNames = [] } = input;
  const { notBefore = new Date(Date.now() - DAY_MS), notAfter = new Date(Date.now() + DAY_MS) } = input;
  const key = input.key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const ecdsaWithSha256 = der(0x30, oid('2a8648ce3d040302'));
  const extensions = [
    ...(isAuthority ? [der(0x30, oid('551d13'), der(0x04, der(0x30, der(0x01, Buffer.from([0xff])))))] : []),
    ...(alternativeNames.length > 0
      ? [der(0x30, oid('551d11'), der(0x04, der(0x30, ...alternativeNames.map(alternativeName))))]
      : []),
  ];
  const content = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    nameOf(issuer?.subject ?? subject),
    der(0x30, timeOf(notBefore), timeOf(notAfter)),
    nameOf(subject),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, der(0x30, ...extensions))] : []),
  );
  const signature = sign('sha256', content, issuer?.key ?? key);
  const whole = der(0x30, content, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature)).toString(
    'base64',
  );
  return {
    der: whole,
    pem: `-----BEGIN CERTIFICATE-----\n${whole.replaceAll(/(.{64})/g, '$1\n').trim()}\n-----END CERTIFICATE-----\n`,
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    key,
    subject,
  };
}

function nameOf(names: Names): Buffer {
  return der(
    0x30,
    ...names.map(([type, value]) =>
      der(0x31, der(0x30, oid(NAME_TYPES[type]), der(type === 'C' ? 0x13 : 0x0c, Buffer.from(value)))),
    ),
  );
}

function alternativeName([type, name]: readonly ['DNS' | 'URI' | 'IP' | 'email', string]): Buffer {
  const value = type === 'IP' ? Buffer.from(name.split('.').map(Number)) : Buffer.from(name);
  return der(ALTERNATIVE_TAGS[type], value);
}

function timeOf(time: Date): Buffer {
  const text = time
    .toISOString()
    .replaceAll(/[-:T]/g, '')
    .replace(/\.\d+Z$/, 'Z');
  return der(0x18, Buffer.from(text));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

/** Tag, length, value. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const length =
    value.length < 128
      ? Buffer.from([value.length])
      : value.length < 256
        ? Buffer.from([0x81, value.length])
        : Buffer.from([0x82, value.length >> 8, value.length & 255]);
  return Buffer.concat([Buffer.from([tag]), length, value]);
}
