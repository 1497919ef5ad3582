/**
 * Names of certificate subjects (RFC 4514), so that two of them can be compared whatever wrote them: Node.js prints
 * those of a certificate line by line, an operator gives one as `openssl x509 -subject -nameopt RFC2253` prints it.
 */

/** `[type, value]`; a relative distinguished name may hold several, in no order. */
type Attribute = readonly [type: string, value: string];
type RelativeName = readonly Attribute[];

/** What types are called elsewhere, in small letters, and what OpenSSL calls them. */
const SAME_TYPE: Readonly<Record<string, string>> = {
  '2.5.4.3': 'cn',
  commonname: 'cn',
  '2.5.4.4': 'sn',
  surname: 'sn',
  '2.5.4.5': 'serialnumber',
  '2.5.4.6': 'c',
  countryname: 'c',
  '2.5.4.7': 'l',
  localityname: 'l',
  '2.5.4.8': 'st',
  s: 'st',
  stateorprovincename: 'st',
  '2.5.4.9': 'street',
  streetaddress: 'street',
  '2.5.4.10': 'o',
  organizationname: 'o',
  '2.5.4.11': 'ou',
  organizationalunitname: 'ou',
  '2.5.4.12': 'title',
  t: 'title',
  '2.5.4.13': 'description',
  '2.5.4.15': 'businesscategory',
  '2.5.4.17': 'postalcode',
  '2.5.4.42': 'gn',
  givenname: 'gn',
  '2.5.4.46': 'dnqualifier',
  dnq: 'dnqualifier',
  '2.5.4.65': 'pseudonym',
  '2.5.4.97': 'organizationidentifier',
  oi: 'organizationidentifier',
  '0.9.2342.19200300.100.1.1': 'uid',
  userid: 'uid',
  '0.9.2342.19200300.100.1.25': 'dc',
  domaincomponent: 'dc',
  '1.2.840.113549.1.9.1': 'emailaddress',
  e: 'emailaddress',
  '1.3.6.1.4.1.311.60.2.1.1': 'jurisdictionl',
  jurisdictionlocalityname: 'jurisdictionl',
  '1.3.6.1.4.1.311.60.2.1.2': 'jurisdictionst',
  jurisdictionstateorprovincename: 'jurisdictionst',
  '1.3.6.1.4.1.311.60.2.1.3': 'jurisdictionc',
  jurisdictioncountryname: 'jurisdictionc',
};

/** How the bytes of a string in BER are to be read, by its tag (X.680 §8.4). */
const STRINGS: Readonly<Record<number, 'utf8' | 'latin1' | 'utf-16be'>> = {
  0x0c: 'utf8',
  0x12: 'latin1',
  0x13: 'latin1',
  0x14: 'latin1',
  0x16: 'latin1',
  0x1a: 'latin1',
  0x1e: 'utf-16be',
};

const TYPE = /^(?:[a-z][a-z0-9-]*|\d+(?:\.\d+)+)$/;

/** Whether the text is a name that `sameName` can compare. */
export function isDistinguishedName(text: string): boolean {
  return text.length <= 1000 && parseName(text, ',') !== undefined;
}

/**
 * Whether both name the same subject: the same attributes in the same order, their values character by character.
 *
 * @param registered as RFC 4514 writes it, the most specific part first: `CN=payments,O=Example,C=CH`
 * @param subject as `X509Certificate.subject` gives it: a part on each line, the most specific last
 */
export function sameName(registered: string, subject: string): boolean {
  const one = parseName(registered, ',');
  const other = parseName(subject, '\n')?.toReversed();
  return one !== undefined && other !== undefined && canonical(one) === canonical(other);
}

function canonical(name: readonly RelativeName[]): string {
  return JSON.stringify(
    name.map((attributes) => attributes.map((attribute) => JSON.stringify(attribute)).sort()),
  );
}

function parseName(text: string, separator: ',' | '\n'): RelativeName[] | undefined {
  const name: RelativeName[] = [];
  for (const part of splitUnescaped(text, separator)) {
    const attributes: Attribute[] = [];
    for (const pair of splitUnescaped(part, '+')) {
      const attribute = parseAttribute(pair);
      if (!attribute) return undefined;
      attributes.push(attribute);
    }
    name.push(attributes);
  }
  return name;
}

function parseAttribute(pair: string): Attribute | undefined {
  const equals = pair.indexOf('=');
  if (equals === -1) return undefined;
  const type = pair
    .slice(0, equals)
    .trim()
    .toLowerCase()
    .replace(/^oid\./, '');
  const value = unescaped(trimUnescaped(pair.slice(equals + 1)));
  return TYPE.test(type) && value ? [SAME_TYPE[type] ?? type, value] : undefined;
}

/** Splits where no backslash stands before the separator. */
function splitUnescaped(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1;
    else if (text[index] === separator) {
      parts.push(text.slice(start, index));
      start = index + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function trimUnescaped(text: string): string {
  const trimmed = text.trim();
  return trimmed.endsWith('\\') && text.trimStart() !== trimmed ? `${trimmed} ` : trimmed;
}

/** RFC 4514 §2.4. Undefined where an escape is none. */
function unescaped(text: string): string | undefined {
  if (text.startsWith('#')) return textOfBer(text.slice(1));
  const bytes: Buffer[] = [];
  for (let index = 0; index < text.length;) {
    const escape = /^\\(?:([0-9a-f]{2})|([ "#+,;<=>\\]))/i.exec(text.slice(index));
    if (escape) {
      bytes.push(escape[1] === undefined ? Buffer.from(escape[2]!) : Buffer.from(escape[1], 'hex'));
      index += escape[0].length;
      continue;
    }
    const character = String.fromCodePoint(text.codePointAt(index)!);
    if ('\\"<>;'.includes(character)) return undefined;
    bytes.push(Buffer.from(character));
    index += character.length;
  }
  return Buffer.concat(bytes).toString('utf8');
}

/**
 * A value in hexadecimal, which whoever follows RFC 4514 writes for types that have no name of their own: the string in
 * BER (X.690 §8). Undefined for what is no string, for nothing can be told of that.
 */
function textOfBer(hexadecimal: string): string | undefined {
  if (!/^(?:[0-9a-f]{2})+$/i.test(hexadecimal)) return undefined;
  const [tag = 0, first = 0, ...rest] = Buffer.from(hexadecimal, 'hex');
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const length =
    lengthBytes === 0 ? first : rest.slice(0, lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0);
  const value = Buffer.from(rest.slice(lengthBytes));
  const encoding = STRINGS[tag];
  if (encoding === undefined || first === 0x80 || value.length !== length) return undefined;
  return new TextDecoder(encoding).decode(value);
}
