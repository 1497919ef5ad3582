import { AppError } from '../../platform/errors.ts';
import type { OutgoingAnswer } from '../../platform/outgoing.ts';
import type { Client } from '../client.ts';
import { defineClient } from '../definition.ts';
import { definitionFrom } from '../registration/metadata.ts';
import type { RegistrationPolicy } from '../registration/policy.ts';

const MIN_FRESH_SECONDS = 60;
const MAX_FRESH_SECONDS = 3_600;
const FRESH_UNLESS_SAID_SECONDS = 300;
/** What two share is no secret of a client whose description everybody reads. */
const NEVER_IN_IT = ['client_secret', 'client_secret_expires_at'] as const;

/** A sign-out neither waits for a stranger's host nor leads there. */
const PASSED_OVER = ['post_logout_redirect_uris', 'backchannel_logout_uri', 'frontchannel_logout_uri'];

/** What such a client may be: of people, proving itself by a key or not at all. */
export function documentPolicy(scopes: RegistrationPolicy['scopes']): RegistrationPolicy {
  return {
    redirectHosts: ['*', 'loopback', 'private-use'],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes,
    authMethods: ['none', 'private_key_jwt'],
    kinds: ['web', 'native', 'browser'],
  };
}

/**
 * The client that the answer describes (Client ID Metadata Documents §4). People are asked each time: what they said
 * yes to may be another document tomorrow.
 *
 * @throws AppError whose message says what is wrong with it
 */
export function clientFrom(
  clientId: string,
  { status, headers, body }: OutgoingAnswer,
  { policy, now }: { policy: RegistrationPolicy; now: Date },
): Client {
  if (status !== 200) throw refuse(`the address answers ${status}`);
  const type = (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  if (!/^application\/(?:[a-z0-9.-]+\+)?json$/.test(type))
    throw refuse('the document is not of the type application/json');
  const document = parse(body);
  if (document['client_id'] !== clientId)
    throw refuse('its client_id is not the address that it was read from');
  const secret = NEVER_IN_IT.find((name) => document[name] !== undefined);
  if (secret !== undefined) throw refuse(`it holds ${secret}`);
  const hasKeys = document['jwks'] !== undefined || document['jwks_uri'] !== undefined;
  for (const name of PASSED_OVER) delete document[name];
  const definition = defineClient({
    ...definitionFrom(
      { token_endpoint_auth_method: hasKeys ? 'private_key_jwt' : 'none', ...document },
      policy,
      // Its host alone vouches for it, so nothing of it leads elsewhere but the answer.
      { pageHosts: [new URL(clientId).host] },
    ),
    consent: 'always',
  });
  return { ...definition, clientId, origin: 'document', secrets: [], createdAt: now, updatedAt: now };
}

/** How long the answer may be kept (RFC 9111 §5.2.2), within our bounds. */
export function freshSeconds({ headers }: OutgoingAnswer): number {
  const said = headers['cache-control'] ?? '';
  if (/(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])/i.test(said)) return MIN_FRESH_SECONDS;
  const maxAge = /(?:^|[\s,])max-age\s*=\s*"?(\d{1,10})/i.exec(said)?.[1];
  const seconds = maxAge === undefined ? FRESH_UNLESS_SAID_SECONDS : Number(maxAge);
  return Math.min(Math.max(seconds, MIN_FRESH_SECONDS), MAX_FRESH_SECONDS);
}

/** Whether the host says, or shows, that it cannot answer just now. */
export function isPassing(answer: OutgoingAnswer): boolean {
  return answer.status >= 500 || answer.status === 429;
}

function parse(body: Buffer): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw refuse('the document is not JSON');
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw refuse('the document is not a JSON object');
  }
  return document as Record<string, unknown>;
}

function refuse(reason: string): AppError {
  return new AppError('invalid_client_document', 400, reason);
}
