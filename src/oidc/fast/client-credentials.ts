/** A JWT access token for a machine client at one API (RFC 6749 §4.4, RFC 8707, RFC 9068): the answer that succeeds. */
import type { Api } from '../../apis/api.ts';
import type { ApiService } from '../../apis/service.ts';
import type { UnitOfWork } from '../../audit/unit-of-work.ts';
import type { Client } from '../../clients/client.ts';
import { type Clock, epochSeconds } from '../../platform/clock.ts';
import { randomToken } from '../../platform/ids.ts';
import { accessTokenSeconds, intersect, permittedToClient, wordsOf } from '../entitlement.ts';
import { issuanceRecord } from '../issuance-record.ts';
import { OIDC_SCOPES } from '../scopes.ts';
import { isKnownApi } from './api.ts';
import { CLIENT_PARAMETERS } from './client.ts';
import { type Form, SCOPE_WORD } from './request.ts';
import type { SignerFor } from './signing.ts';

export const CLIENT_CREDENTIALS_PARAMETERS: ReadonlySet<string> = new Set([
  'grant_type',
  'scope',
  'resource',
  ...CLIENT_PARAMETERS,
]);

export interface FastClientCredentials {
  issuer: string;
  apis: Pick<ApiService, 'find' | 'permissionsOfClient'>;
  /** The keys of now. */
  signerFor: SignerFor;
  accessTokenSeconds: number;
  fingerprint: (secret: string) => string;
  clock: Clock;
}

export interface MachineToken {
  answer: object;
  /** Has to be durable before the answer leaves. */
  record: Parameters<UnitOfWork['record']>[0];
}

/** @returns undefined where the library has to answer */
export async function issueToMachine(
  client: Client,
  { grant_type: grantType, resource, scope: asked }: Form,
  { issuer, apis, signerFor, fingerprint, clock, ...settings }: FastClientCredentials,
): Promise<MachineToken | undefined> {
  if (grantType !== 'client_credentials' || resource === undefined) return undefined;
  if (client.dpopBoundAccessTokens || !client.grantTypes.includes('client_credentials')) return undefined;
  const api = await apis.find(resource);
  const sign = api?.accessTokenFormat === 'jwt' ? signerFor(api.signingAlg, 'at+jwt') : undefined;
  if (!api || !sign || !isKnownApi(api)) return undefined;
  const granted = await scopeFor(client, api, asked, apis);
  if (granted === undefined) return undefined;

  const issuedAt = epochSeconds(clock);
  const lifeSeconds = accessTokenSeconds(
    settings.accessTokenSeconds,
    client.accessTokenTtlSeconds,
    api.accessTokenTtlSeconds,
  );
  const expiresAt = issuedAt + lifeSeconds;
  const { token, kid } = await sign({
    sub: client.clientId,
    permissions: wordsOf(granted),
    jti: randomToken(),
    iat: issuedAt,
    exp: expiresAt,
    scope: granted,
    client_id: client.clientId,
    iss: issuer,
    aud: api.identifier,
  });
  return {
    answer: { access_token: token, expires_in: lifeSeconds, scope: granted, token_type: 'Bearer' },
    record: issuanceRecord(
      {
        clientId: client.clientId,
        grantType,
        given: [{ kind: 'access_token', value: token, expiresAt, kid }],
        scope: granted,
        api: api.identifier,
      },
      fingerprint,
    ),
  };
}

/** What is left of the scope, or all that the client has where it asks for none; undefined where that is nothing. */
async function scopeFor(
  client: Client,
  api: Api,
  asked: string | undefined,
  apis: Pick<ApiService, 'permissionsOfClient'>,
): Promise<string | undefined> {
  const own = await apis.permissionsOfClient(client.clientId, api.identifier);
  const permitted = permittedToClient(api, own);
  const requested = asked === undefined ? permitted : asked.split(' ');
  // Malformed ones, and those that are not an API's, have answers of their own.
  if (!requested.every((word) => SCOPE_WORD.test(word) && !OIDC_SCOPES.has(word))) return undefined;
  const granted = intersect(requested, permitted);
  return granted.length > 0 ? granted.join(' ') : undefined;
}
