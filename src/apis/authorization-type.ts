/**
 * A type of authorization details (RFC 9396 §2): a closed list of fields, so that what a client asks for can be checked
 * to the last one, and told to a person in words.
 */
import { z } from 'zod';

import { AppError } from '../platform/errors.ts';
import { isShowable } from './showable.ts';

const MAX_FIELDS = 30;
const MAX_CHOICES = 100;
const MAX_TEXT = 500;

/** As it is shown: no characters that hide or turn round what stands beside them. */
const label = z
  .string()
  .transform((text) => text.normalize('NFC').trim())
  .refine((text) => text.length <= 100 && isShowable(text), '1 to 100 visible characters');
/** `type` is the detail's own, `locations` every type has (RFC 9396 §2.2). */
const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/, 'a letter, then letters, digits and _ . -')
  .refine((text) => !['type', 'locations', 'constructor', 'prototype'].includes(text), 'a name of your own');
const common = { name, label, required: z.boolean().default(false) };
const maxLength = z.int().min(1).max(MAX_TEXT).default(200);
const choices = z
  .array(z.strictObject({ value: z.string().min(1).max(200), label }))
  .min(1)
  .max(MAX_CHOICES);

const plainField = z.discriminatedUnion('kind', [
  z.strictObject({ ...common, kind: z.literal('text'), maxLength }),
  z.strictObject({ ...common, kind: z.literal('texts'), maxLength }),
  z.strictObject({ ...common, kind: z.literal('choice'), choices }),
  z.strictObject({ ...common, kind: z.literal('choices'), choices }),
  z.strictObject({ ...common, kind: z.literal('integer') }),
  z.strictObject({ ...common, kind: z.literal('boolean') }),
  z.strictObject({ ...common, kind: z.literal('date') }),
  /** `{"currency": "EUR", "amount": "123.50"}` */
  z.strictObject({ ...common, kind: z.literal('amount') }),
]);
const field = z.discriminatedUnion('kind', [
  ...plainField.options,
  /** An object of fields; one deep, for nobody reads more. */
  z.strictObject({
    ...common,
    kind: z.literal('group'),
    fields: z.array(plainField).min(1).max(MAX_FIELDS),
  }),
]);
const fieldsSchema = z.array(field).max(MAX_FIELDS);

export type PlainField = z.infer<typeof plainField>;
export type Field = z.infer<typeof field>;

/** What an operator decides about a type. */
export interface AuthorizationTypeDefinition {
  /** What people read: "Make a payment". */
  name: string;
  fields: readonly Field[];
  /** Whether somebody who allowed exactly the same before need not be asked again. */
  isRemembered: boolean;
}

export interface AuthorizationType extends AuthorizationTypeDefinition {
  /** The `type` of requests and tokens. It never changes. */
  type: string;
  /** The API that details of this type are for. */
  api: string;
  /** As people know it. */
  apiName: string;
  createdAt: Date;
  updatedAt: Date;
}

export interface AuthorizationTypeInput {
  name: string;
  /** Checked here: it comes from a file. */
  fields?: unknown;
  isRemembered?: boolean;
}

/** @throws AppError `invalid_authorization_type` (400), whose message says what to do */
export function defineType({
  name: given,
  fields = [],
  isRemembered = false,
}: AuthorizationTypeInput): AuthorizationTypeDefinition {
  const named = label.safeParse(given);
  if (!named.success) throw refuse('a name is 1 to 100 visible characters');
  const parsed = fieldsSchema.safeParse(fields);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const at = issue?.path.length ? ` at ${issue.path.join('.')}` : '';
    throw refuse(`its fields are not right${at} (${issue?.message})`);
  }
  checkNames(parsed.data);
  for (const one of parsed.data) checkRegistered(one);
  return { name: named.data, fields: parsed.data, isRemembered };
}

/** Also a word of requests, of scopes and of metadata. @throws AppError `invalid_authorization_type` (400) */
export function checkType(type: string): void {
  if (/^[\x21\x23-\x5B\x5D-\x7E]{1,200}$/.test(type) && type !== '__proto__') return;
  throw refuse('a type is 1 to 200 ASCII characters without spaces, double quotes and backslashes');
}

/** Reads back what was stored. */
export function parseFields(stored: unknown): Field[] {
  return fieldsSchema.parse(stored);
}

/** The properties whose values differ, for the audit record. */
export function changedTypeProperties(
  before: AuthorizationTypeDefinition,
  after: AuthorizationTypeDefinition,
): string[] {
  const names = ['fields', 'isRemembered', 'name'] as const;
  return names.filter((property) => JSON.stringify(before[property]) !== JSON.stringify(after[property]));
}

function checkNames(fields: readonly Field[]): void {
  const names = fields.map((one) => one.name);
  const twice = names.find((one, index) => names.indexOf(one) !== index);
  if (twice !== undefined) throw refuse(`two fields are called ${twice}`);
  for (const one of fields) if (one.kind === 'group') checkNames(one.fields);
}

/** The fields that RFC 9396 §2.2 gives a form. */
function checkRegistered({ name: given, kind }: Field): void {
  if (['actions', 'datatypes', 'privileges'].includes(given) && kind !== 'choices' && kind !== 'texts') {
    throw refuse(`${given} is a list (RFC 9396 §2.2): its kind is choices or texts`);
  }
  if (given === 'identifier' && kind !== 'text' && kind !== 'choice') {
    throw refuse('identifier is a string (RFC 9396 §2.2): its kind is text or choice');
  }
}

function refuse(advice: string): AppError {
  return new AppError('invalid_authorization_type', 400, `This type cannot be registered so: ${advice}.`);
}
