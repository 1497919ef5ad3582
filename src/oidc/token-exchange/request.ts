/** What a request for an exchange says (RFC 8693 §2.1), before anything is looked up. Pure. */
import { errors } from 'oidc-provider';

export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';
export const ID_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:id_token';

export const PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'resource',
  'audience',
  'scope',
] as const;

/** Those that the standard lets come more than once. */
export const REPEATABLE = ['resource', 'audience'] as const;

export interface PresentedToken {
  value: string;
  type: typeof ACCESS_TOKEN_TYPE | typeof ID_TOKEN_TYPE;
}

export interface ExchangeRequest {
  subject: PresentedToken;
  actor?: PresentedToken;
  /** The API's identifier. */
  target: string;
  /** Absent: all that is possible. */
  scope?: string[];
}

type Parameters = { [name in (typeof PARAMETERS)[number]]?: unknown };

/** @throws InvalidRequest, InvalidTarget */
export function readRequest(params: Parameters): ExchangeRequest {
  const requested = params.requested_token_type;
  if (requested !== undefined && requested !== ACCESS_TOKEN_TYPE) {
    throw new errors.InvalidRequest('requested_token_type: only access tokens are issued in exchange');
  }
  const subject = presented('subject_token', params.subject_token, params.subject_token_type);
  if (!subject) throw new errors.InvalidRequest('subject_token and subject_token_type are required');
  const actor = presented('actor_token', params.actor_token, params.actor_token_type);
  const scope = typeof params.scope === 'string' ? params.scope.split(' ').filter(Boolean) : undefined;
  return {
    subject,
    ...(actor ? { actor } : {}),
    target: targetOf(params),
    ...(scope && scope.length > 0 ? { scope } : {}),
  };
}

function presented(name: string, value: unknown, type: unknown): PresentedToken | undefined {
  if (value === undefined && type === undefined) return undefined;
  if (typeof value !== 'string' || value === '' || type === undefined) {
    throw new errors.InvalidRequest(`${name} and ${name}_type go together`);
  }
  if (type !== ACCESS_TOKEN_TYPE && type !== ID_TOKEN_TYPE) {
    throw new errors.InvalidRequest(`${name}_type: access tokens and ID tokens can be exchanged`);
  }
  return { value, type };
}

/** One API, by `resource`, by `audience`, or by both alike. */
function targetOf({ resource, audience }: Parameters): string {
  const named = new Set([resource ?? [], audience ?? []].flat());
  const [target] = named;
  if (named.size !== 1 || typeof target !== 'string' || target === '') {
    throw new errors.InvalidTarget('name one API, by resource or audience: a token is for one');
  }
  return target;
}
