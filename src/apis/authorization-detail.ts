/**
 * One authorization detail (RFC 9396 §2): checked against its type, told in words, compared with another. Pure, so that
 * the rules can be read as tables.
 */
import type { AuthorizationType, Field, PlainField } from './authorization-type.ts';
import { isShowable } from './showable.ts';

export interface AuthorizationDetail {
  type: string;
  [field: string]: unknown;
}

/** One line of what a person is asked. */
export interface DetailRow {
  label: string;
  values: string[];
}

const MAX_ITEMS = 50;
const MAX_LOCATION = 500;
const AMOUNT = /^(?:0|[1-9]\d{0,14})(?:\.\d{1,6})?$/;
const CURRENCY = /^[A-Z]{3}$/;
const DATE = /^\d{4}-\d{2}-\d{2}$/;

/** @returns what is wrong with it, without any of its values; undefined where nothing is */
export function faultOfDetail(type: AuthorizationType, detail: AuthorizationDetail): string | undefined {
  const { type: _, locations, ...rest } = detail;
  return faultOfLocations(type, locations) ?? faultOfFields(type.fields, rest);
}

/** In the order of the type's fields. The detail must be without fault. */
export function presentDetail(type: AuthorizationType, detail: AuthorizationDetail): DetailRow[] {
  const rows = type.fields.flatMap((field) => {
    const value = detail[field.name];
    return value === undefined ? [] : [{ label: field.label, values: wordsFor(field, value) }];
  });
  const locations = detail['locations'] as string[] | undefined;
  return locations ? [...rows, { label: 'Where', values: locations }] : rows;
}

/** The same text for the same detail, in whatever order its fields and lists were written. */
export function canonicalDetail(detail: AuthorizationDetail): string {
  return JSON.stringify(sorted(detail));
}

/**
 * Whether the first asks for nothing beyond the second: lists may be shorter, a location may be added, and everything
 * else must be the same. A field that is left out is none that is narrower: it may have been a limit.
 */
export function isWithin(asked: AuthorizationDetail, granted: AuthorizationDetail): boolean {
  if (asked.type !== granted.type) return false;
  const names = new Set([...Object.keys(asked), ...Object.keys(granted)]);
  return [...names].every((name) => {
    const [one, other] = [asked[name], granted[name]];
    if (name === 'locations' && other === undefined) return true;
    if (isList(one) && isList(other)) return one.length > 0 && one.every((item) => other.includes(item));
    return one !== undefined && other !== undefined && same(one, other);
  });
}

/** RFC 9396 §2.2: where it is to be used, which is at the type's API or below. */
function faultOfLocations({ api }: AuthorizationType, locations: unknown): string | undefined {
  if (locations === undefined) return undefined;
  if (!isTextList(locations, MAX_LOCATION)) return 'locations is not a list of addresses';
  const below = api.endsWith('/') ? api : `${api}/`;
  // In its normal form: what leads upwards again, in whatever writing, is not below.
  const isThere = (location: string): boolean =>
    location === api || (location.startsWith(below) && URL.parse(location)?.href === location);
  return locations.every(isThere) ? undefined : 'locations names another place than the API of the type';
}

function faultOfFields(fields: readonly Field[], values: Record<string, unknown>): string | undefined {
  const known = new Map(fields.map((field) => [field.name, field]));
  if (Object.keys(values).some((name) => !known.has(name))) return 'it has a field that its type has not';
  for (const field of fields) {
    const value = values[field.name];
    if (value === undefined) {
      if (field.required) return `the field ${field.name} is missing`;
      continue;
    }
    const fault = faultOfValue(field, value);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultOfValue(field: Field, value: unknown): string | undefined {
  if (field.kind === 'group') {
    if (!isPlainObject(value)) return `the field ${field.name} is not an object`;
    const fault = faultOfFields(field.fields, value);
    return fault === undefined ? undefined : `in ${field.name}: ${fault}`;
  }
  return isOfKind(field, value) ? undefined : `the field ${field.name} is not of the kind ${field.kind}`;
}

function isOfKind(field: PlainField, value: unknown): boolean {
  switch (field.kind) {
    case 'text':
      return isText(value, field.maxLength);
    case 'texts':
      return isTextList(value, field.maxLength);
    case 'choice':
      return field.choices.some((choice) => choice.value === value);
    case 'choices':
      return (
        isList(value) &&
        value.length > 0 &&
        new Set(value).size === value.length &&
        value.every((item) => field.choices.some((choice) => choice.value === item))
      );
    case 'integer':
      return Number.isSafeInteger(value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'date':
      return typeof value === 'string' && DATE.test(value) && isRealDate(value);
    default:
      return isAmount(value);
  }
}

function wordsFor(field: Field, value: unknown): string[] {
  switch (field.kind) {
    case 'group':
      return field.fields.flatMap((inner) => {
        const held = (value as Record<string, unknown>)[inner.name];
        return held === undefined ? [] : [`${inner.label}: ${wordsFor(inner, held).join(', ')}`];
      });
    case 'choice':
    case 'choices':
      return [value].flat().map((one) => field.choices.find((choice) => choice.value === one)?.label ?? '');
    case 'texts':
      return value as string[];
    case 'boolean':
      return [value === true ? 'Yes' : 'No'];
    case 'date':
      return [
        new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' }).format(
          new Date(String(value)),
        ),
      ];
    case 'integer':
      return [new Intl.NumberFormat('en').format(value as number)];
    case 'amount':
      return [amountInWords(value as Amount)];
    default:
      return [value as string];
  }
}

interface Amount {
  currency: string;
  amount: string;
}

function isAmount(value: unknown): value is Amount {
  if (!isPlainObject(value) || Object.keys(value).sort().join() !== 'amount,currency') return false;
  const { amount, currency } = value;
  return (
    typeof amount === 'string' &&
    AMOUNT.test(amount) &&
    typeof currency === 'string' &&
    CURRENCY.test(currency)
  );
}

/** By the currency's code, for a sign stands for several; never rounded. */
function amountInWords({ amount, currency }: Amount): string {
  const [whole = '', fraction] = amount.split('.');
  const grouped = whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
  return `${currency} ${grouped}${fraction === undefined ? '' : `.${fraction}`}`;
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength && isShowable(value);
}

function isTextList(value: unknown, maxLength: number): value is string[] {
  return (
    isList(value) &&
    value.length > 0 &&
    new Set(value).size === value.length &&
    value.every((item) => isText(item, maxLength))
  );
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length <= MAX_ITEMS;
}

/** Not 30 February, which the platform takes for 2 March. */
function isRealDate(date: string): boolean {
  const parsed = new Date(date);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(date);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted).toSorted(byText);
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, held]) => [name, sorted(held)] as const)
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
}

function byText(one: unknown, other: unknown): number {
  return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
}
