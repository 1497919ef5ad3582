/**
 * Introspection of opaque access tokens (RFC 7662): the answers `active: true`, and `active: false` for what is not
 * there. A refusal is recorded, and signed answers (RFC 9701) and refresh tokens are rare: those are the library's.
 */
import type { ApiService } from '../../apis/service.ts';
import type { Client } from '../../clients/client.ts';
import { type Clock, epochSeconds } from '../../platform/clock.ts';
import type { IsDead } from '../liveness.ts';
import { stands } from '../standing.ts';
import type { OidcStore, StoredPayload } from '../store/port.ts';
import type { MayAsk } from '../token-readers.ts';
import { mayBe } from '../token-ids.ts';
import { CLIENT_PARAMETERS, isKnown } from './client.ts';
import type { Form } from './request.ts';

export const INTROSPECTION_PARAMETERS: ReadonlySet<string> = new Set([
  'token',
  'token_type_hint',
  ...CLIENT_PARAMETERS,
]);

/** What a stored token may hold; anything else may change the answer. */
const KNOWN_PAYLOAD = new Set([
  'iat',
  'exp',
  'jti',
  'kind',
  'gty',
  'clientId',
  'accountId',
  'grantId',
  'sessionUid',
  'expiresWithSession',
  'authTime',
  'sid',
  'aud',
  'claims',
  'extra',
  'scope',
  'jkt',
  'x5t#S256',
]);

export interface FastIntrospection {
  issuer: string;
  store: OidcStore;
  isDead: IsDead;
  mayIntrospect: MayAsk;
  findClient: (clientId: string) => Promise<Client | undefined>;
  apis: Pick<ApiService, 'find'>;
  clock: Clock;
}

/** @returns undefined where the library has to answer */
export async function introspect(
  asking: Client,
  { token: presented }: Form,
  { issuer, store, isDead, mayIntrospect, findClient, clock }: FastIntrospection,
): Promise<object | undefined> {
  const model = presented === undefined ? undefined : kindOf(presented);
  if (presented === undefined || model === undefined) return undefined;
  const standing = await store.findStanding(model, presented);
  if (!standing) return { active: false };
  const { token } = standing;
  if (!Object.keys(token).every((name) => KNOWN_PAYLOAD.has(name))) return undefined;
  if (isDead(model, presented, token) || Number(token['exp']) <= epochSeconds(clock))
    return { active: false };
  if (!stands(standing, isDead)) return { active: false };
  const clientId = String(token['clientId']);
  if (
    !(await mayIntrospect(
      { clientId: asking.clientId, clientAuthMethod: asking.authMethod },
      { clientId, aud: token['aud'] },
    ))
  )
    return undefined;
  if (clientId !== asking.clientId) {
    const owner = await findClient(clientId);
    if (!owner || !isKnown(owner)) return undefined;
  }
  return activeAnswer(token, issuer);
}

function kindOf(token: string): 'AccessToken' | 'ClientCredentials' | undefined {
  // A dot makes it another kind of token to the library.
  if (token.includes('.')) return undefined;
  if (mayBe('AccessToken', token)) return 'AccessToken';
  return mayBe('ClientCredentials', token) ? 'ClientCredentials' : undefined;
}

function activeAnswer(token: StoredPayload, issuer: string): object {
  const { accountId, extra, clientId, exp, iat, sid, aud, scope, jkt, 'x5t#S256': x5t } = token;
  return {
    active: true,
    ...(accountId === undefined ? {} : { sub: accountId }),
    ...(extra as object | undefined),
    client_id: clientId,
    exp,
    iat,
    sid,
    iss: issuer,
    aud,
    scope: scope === '' ? undefined : scope,
    cnf: jkt === undefined && x5t === undefined ? undefined : { 'x5t#S256': x5t, jkt },
    token_type: jkt === undefined ? 'Bearer' : 'DPoP',
  };
}
