/** What a refresh that is allowed gives: an access token, the next refresh token, an ID token, and their record. */
import type { UnitOfWork } from '../../audit/unit-of-work.ts';
import type { Client } from '../../clients/client.ts';
import { type Clock, epochSeconds } from '../../platform/clock.ts';
import { randomToken } from '../../platform/ids.ts';
import { accessTokenSeconds, wordsOf } from '../entitlement.ts';
import { requireLiveAuthority } from '../events.ts';
import type { ProviderAccount } from '../find-account.ts';
import { requireConsent } from '../grants.ts';
import { type Given, issuanceRecord } from '../issuance-record.ts';
import { stageAnswer } from '../refresh-answers.ts';
import type { Model, OidcStore, StoredPayload } from '../store/port.ts';
import type { StructuredTokens } from '../structured-tokens.ts';
import { tokenIdOf } from '../token-ids.ts';
import type { HeldGrant, HeldRefreshToken } from './held.ts';
import { idTokenClaims } from './id-token.ts';
import { grantedScope, type RefreshTarget } from './refresh-target.ts';
import type { SignJwt } from './signing.ts';

export interface Issuing {
  issuer: string;
  store: OidcStore;
  /** Puts into a JWT what it stands on. */
  carry: StructuredTokens['carry'];
  accessTokenSeconds: number;
  idTokenSeconds: number;
  retryWindowSeconds: number;
  fingerprint: (secret: string) => string;
  clock: Clock;
}

/** Everything that a refresh needs, found and allowed: only that the token is spent is missing. */
export interface Renewal {
  presented: string;
  token: HeldRefreshToken;
  grant: HeldGrant;
  client: Client;
  person: ProviderAccount;
  requested: readonly string[];
  target: RefreshTarget;
  refreshTokenSeconds: number;
  signAccessToken?: SignJwt;
  signIdToken?: SignJwt;
  question: string;
}

interface Renewed extends Given {
  expiresAt: number;
  /** What of it is kept; of a JWT, nothing. */
  stored?: { model: Model; payload: StoredPayload; lifeSeconds: number };
}

const GRANT_TYPE = 'refresh_token';

/** Leaves in the unit of work what is to be written and recorded, and tells the answer. */
export async function issueRenewed(
  renewal: Renewal,
  { unit, spender }: { unit: UnitOfWork; spender: string },
  dependencies: Issuing,
): Promise<object> {
  const { client, target } = renewal;
  const { store, clock, retryWindowSeconds } = dependencies;
  const issuedAt = epochSeconds(clock);
  const lifeSeconds = accessTokenSeconds(
    dependencies.accessTokenSeconds,
    client.accessTokenTtlSeconds,
    target.at?.api.accessTokenTtlSeconds,
  );
  const access = await accessTokenOf(renewal, { issuedAt, lifeSeconds }, dependencies);
  const successor = successorOf(renewal, issuedAt);
  const idToken = await idTokenOf(renewal, issuedAt, dependencies);
  const answer = {
    access_token: access.value,
    expires_in: lifeSeconds,
    ...(idToken && { id_token: idToken.value }),
    refresh_token: successor.value,
    scope: target.scope.join(' '),
    token_type: 'Bearer',
  };

  for (const { value, stored } of [access, successor]) {
    if (!stored) continue;
    unit.stage({
      write: () => store.upsert(stored.model, value, stored.payload, stored.lifeSeconds),
      undo: () => store.destroy(stored.model, value),
    });
  }
  const { presented: refreshToken, question } = renewal;
  stageAnswer(unit, { refreshToken, spender }, { store, answer, question, retryWindowSeconds });
  record(renewal, [access, successor, ...(idToken ? [idToken] : [])], unit, dependencies);
  return answer;
}

function record(
  { token, grant, client, person, target }: Renewal,
  given: readonly Given[],
  unit: UnitOfWork,
  { fingerprint }: Issuing,
): void {
  requireLiveAuthority(token, unit);
  requireConsent(grant, unit);
  const { grantId, sessionUid } = token;
  unit.record(
    issuanceRecord(
      {
        accountId: person.id,
        clientId: client.clientId,
        grantId,
        ...(sessionUid === undefined ? {} : { sessionUid }),
        grantType: GRANT_TYPE,
        given,
        scope: target.scope.join(' '),
        api: target.at?.api.identifier,
      },
      fingerprint,
    ),
  );
}

async function accessTokenOf(
  { token, client, target, signAccessToken }: Renewal,
  { issuedAt, lifeSeconds }: { issuedAt: number; lifeSeconds: number },
  { issuer, carry }: Issuing,
): Promise<Renewed> {
  const { accountId, grantId, sessionUid, expiresWithSession, sid, authTime, clientId } = token;
  const [iat, exp] = [issuedAt, issuedAt + lifeSeconds];
  const scope = target.scope.join(' ');
  const aud = target.at?.api.identifier;
  if (signAccessToken) {
    const payload = {
      ...target.at?.claims,
      jti: randomToken(),
      sub: accountId,
      iat,
      exp,
      scope,
      client_id: client.clientId,
      iss: issuer,
      aud,
    };
    carry(token, { payload });
    const { token: value, kid } = await signAccessToken(payload);
    return { kind: 'access_token', value, expiresAt: exp, kid };
  }
  const payload = {
    iat,
    exp,
    kind: 'AccessToken',
    gty: renewedBy(token.gty),
    clientId,
    accountId,
    grantId,
    sessionUid,
    expiresWithSession,
    sid,
    scope,
    aud,
    extra: target.at?.claims,
    authTime,
  };
  const stored = { model: 'AccessToken', payload, lifeSeconds } as const;
  return { kind: 'access_token', value: tokenIdOf('AccessToken'), expiresAt: exp, stored };
}

/** The next of the family: as the one that was spent, but for its times. */
function successorOf({ token, refreshTokenSeconds: lifeSeconds }: Renewal, issuedAt: number): Renewed {
  const expiresAt = issuedAt + lifeSeconds;
  const gty = renewedBy(token.gty);
  const { iiat = token.iat, ...kept } = token;
  const payload = {
    ...kept,
    iiat,
    iat: issuedAt,
    exp: expiresAt,
    rotations: (token.rotations ?? 0) + 1,
    ...(gty === undefined ? {} : { gty }),
  };
  const stored = { model: 'RefreshToken', payload, lifeSeconds } as const;
  return { kind: 'refresh_token', value: tokenIdOf('RefreshToken'), expiresAt, stored };
}

async function idTokenOf(
  { client, person, token, grant, requested, target, signIdToken }: Renewal,
  issuedAt: number,
  { issuer, idTokenSeconds }: Issuing,
): Promise<Renewed | undefined> {
  if (!signIdToken) return undefined;
  // Where the access token opens userinfo, the rest is told there (OIDC Core §5.4); some clients read nothing else.
  const isToldHere = target.at !== undefined || client.claimsInIdToken;
  const told = client.claimsInIdToken ? wordsOf(token.scope) : requested;
  const claims = await idTokenClaims({
    issuer,
    client,
    person,
    source: token,
    requested,
    told: isToldHere ? grantedScope(grant, told) : ['openid'],
    issuedAt,
    lifeSeconds: idTokenSeconds,
  });
  const { token: value, kid } = await signIdToken(claims);
  return { kind: 'id_token', value, expiresAt: issuedAt + idTokenSeconds, kid };
}

function renewedBy(grantType: string | undefined): string | undefined {
  if (grantType === undefined) return undefined;
  return grantType.endsWith(GRANT_TYPE) ? grantType : `${grantType} ${GRANT_TYPE}`;
}
