import type { IncomingMessage } from 'node:http';
import { parse } from 'node:querystring';

/** What the fast paths need of the host's context. */
export interface FastContext {
  method: string;
  path: string;
  req: IncomingMessage;
  status: number;
  body: unknown;
  set: (field: string, value: string) => void;
}

/** By name; an empty value is none, as the library has it. */
export type Form = Readonly<Record<string, string | undefined>>;

/** One of a scope (RFC 6749 §3.3). */
export const SCOPE_WORD = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

const MAX_SIZE_BYTES = 8 * 1024;
const CONTENT_TYPE = /^application\/x-www-form-urlencoded(?:; ?charset=utf-8)?$/i;
/** For each of them JSON is the answer, a refusal included. */
const ACCEPTED = new Set([undefined, '*/*', 'application/json', 'application/json, text/plain, */*']);
/** With one of these the request asks for more than is done here. */
const FOREIGN_HEADERS = [
  'origin',
  'dpop',
  'transfer-encoding',
  'content-encoding',
  'oauth-client-attestation',
  'oauth-client-attestation-pop',
] as const;

/** Whether nothing but the form decides about the request. */
export function isPlain({ headers }: IncomingMessage): boolean {
  return (
    CONTENT_TYPE.test(headers['content-type'] ?? '') &&
    ACCEPTED.has(headers.accept) &&
    FOREIGN_HEADERS.every((name) => headers[name] === undefined)
  );
}

/**
 * The form, which stays unread: whoever comes next finds the body as it arrived.
 *
 * @param names every parameter that is understood
 * @returns undefined where there is another one, or one twice, or where the body did not come at once
 */
export async function peekForm(req: IncomingMessage, names: ReadonlySet<string>): Promise<Form | undefined> {
  const sizeBytes = Number(req.headers['content-length']);
  if (!(sizeBytes > 0 && sizeBytes <= MAX_SIZE_BYTES)) return undefined;
  if (req.readableLength < sizeBytes && !(await becomesReadable(req))) return undefined;
  const body = req.read() as Buffer | null;
  if (body === null) return undefined;
  // At once: a stream that has been read to its end takes nothing back a moment later.
  req.unshift(body);
  return body.length === sizeBytes ? understood(body.toString('latin1'), names) : undefined;
}

/** Lets the connection go on with its next request, once an answer needs the body no more. */
export function discardBody(req: IncomingMessage): void {
  req.resume();
}

function becomesReadable(req: IncomingMessage): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isReadable: boolean) => (): void => {
      req.off('readable', onReadable);
      for (const end of ENDS) req.off(end, onEnd);
      resolve(isReadable);
    };
    const onReadable = settle(true);
    const onEnd = settle(false);
    req.on('readable', onReadable);
    for (const end of ENDS) req.on(end, onEnd);
  });
}

const ENDS = ['end', 'error', 'close'] as const;

function understood(text: string, names: ReadonlySet<string>): Form | undefined {
  // Other characters stand percent-encoded in a form; raw ones depend on a charset.
  if (/[^\x20-\x7e]/.test(text)) return undefined;
  const form: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(parse(text))) {
    if (typeof value !== 'string' || !names.has(name)) return undefined;
    form[name] = value === '' ? undefined : value;
  }
  return form;
}
