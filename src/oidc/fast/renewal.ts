/** What a refresh that is allowed gives: an access token, the next refresh token, an ID token, and the record of them. */
import type { Issued } from '../../audit/events.ts';
import type { UnitOfWork } from '../../audit/unit-of-work.ts';
import type { Client } from '../../clients/client.ts';
import { type Clock, epochSeconds } from '../../platform/clock.ts';
import { randomToken } from '../../platform/ids.ts';
import { accessTokenSeconds, wordsOf } from '../entitlement.ts';
import { requireLiveAuthority } from '../events.ts';
import type { ProviderAccount } from '../find-account.ts';
import { requireConsent } from '../grants.ts';
import { keepAnswer } from '../refresh-answers.ts';
import type { Model, OidcStore, StoredPayload } from '../store/port.ts';
import type { StructuredTokens } from '../structured-tokens.ts';
import { tokenIdOf } from '../token-ids.ts';
import type { HeldGrant, HeldRefreshToken } from './held.ts';
import { idTokenClaims } from './id-token.ts';
import { grantedScope, type RefreshTarget } from './refresh-target.ts';
import type { SignedJwt, SignJwt } from './signing.ts';

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

const GRANT_TYPE = 'refresh_token';

/** Leaves in the unit of work what is to be written and recorded, and tells the answer. */
export async function issueRenewed(
  renewal: Renewal,
  { unit, spender }: { unit: UnitOfWork; spender: string },
  dependencies: Issuing,
): Promise<object> {
  const { presented, token, grant, client, person, target } = renewal;
  const { store, clock, fingerprint, retryWindowSeconds } = dependencies;
  const issuedAt = epochSeconds(clock);
  const issued: Issued[] = [];
  const tell = (kind: Issued['kind'], value: string, lifeSeconds: number, kid?: string): void => {
    const expiresAt = new Date((issuedAt + lifeSeconds) * 1000).toISOString();
    issued.push({
      kind,
      fingerprint: fingerprint(value),
      expires_at: expiresAt,
      ...(kid === undefined ? {} : { kid }),
    });
  };
  const stage = (model: Model, id: string, payload: StoredPayload, lifeSeconds: number): void =>
    unit.stage({
      write: () => store.upsert(model, id, payload, lifeSeconds),
      undo: () => store.destroy(model, id),
    });

  const lifeSeconds = accessTokenSeconds(
    dependencies.accessTokenSeconds,
    client.accessTokenTtlSeconds,
    target.api?.accessTokenTtlSeconds,
  );
  const grantType = renewedBy(token.gty);
  const access = await accessTokenOf(renewal, { issuedAt, lifeSeconds, grantType }, dependencies);
  tell('access_token', access.token, lifeSeconds, access.kid);
  if (access.payload) stage('AccessToken', access.token, access.payload, lifeSeconds);

  const successor = tokenIdOf('RefreshToken');
  const rotations = typeof token.rotations === 'number' ? token.rotations + 1 : 1;
  const exp = issuedAt + renewal.refreshTokenSeconds;
  stage(
    'RefreshToken',
    successor,
    { ...token, iat: issuedAt, exp, rotations, ...(grantType === undefined ? {} : { gty: grantType }) },
    renewal.refreshTokenSeconds,
  );
  tell('refresh_token', successor, renewal.refreshTokenSeconds);

  const idToken = await idTokenOf(renewal, issuedAt, dependencies);
  if (idToken) tell('id_token', idToken.token, dependencies.idTokenSeconds, idToken.kid);

  const scope = target.scope.join(' ');
  const answer = {
    access_token: access.token,
    expires_in: lifeSeconds,
    ...(idToken && { id_token: idToken.token }),
    refresh_token: successor,
    scope,
    token_type: 'Bearer',
  };
  const forRetry = { answer, question: renewal.question, retryWindowSeconds };
  unit.stage({
    write: () => keepAnswer(store, { refreshToken: presented, spender }, forRetry),
    // Under a key that no later attempt asks for.
    undo: async () => {},
  });
  requireLiveAuthority(token, unit);
  requireConsent(grant, unit);
  const { grantId, sessionUid } = token;
  unit.record({
    type: 'token.issued',
    outcome: 'success',
    accountId: person.id,
    clientId: client.clientId,
    grantId,
    ...(sessionUid === undefined ? {} : { sessionUid }),
    payload: {
      grant_type: GRANT_TYPE,
      issued,
      scope,
      ...(target.api && { resource: [target.api.identifier] }),
    },
  });
  return answer;
}

interface IssuedAccessToken {
  token: string;
  kid?: string;
  /** What is stored; a JWT is not. */
  payload?: StoredPayload;
}

async function accessTokenOf(
  { token, client, target, signAccessToken }: Renewal,
  {
    issuedAt,
    lifeSeconds,
    grantType,
  }: { issuedAt: number; lifeSeconds: number; grantType: string | undefined },
  { issuer, carry }: Issuing,
): Promise<IssuedAccessToken> {
  const { accountId, grantId, sessionUid, expiresWithSession, sid, authTime, clientId } = token;
  const [iat, exp] = [issuedAt, issuedAt + lifeSeconds];
  const scope = target.scope.join(' ');
  const aud = target.api?.identifier;
  if (signAccessToken) {
    const jti = randomToken();
    const payload = {
      ...target.claims,
      jti,
      sub: accountId,
      iat,
      exp,
      scope,
      client_id: client.clientId,
      iss: issuer,
      aud,
    };
    carry(token, { payload });
    return signAccessToken(payload);
  }
  const payload = {
    iat,
    exp,
    kind: 'AccessToken',
    gty: grantType,
    clientId,
    accountId,
    grantId,
    sessionUid,
    expiresWithSession,
    sid,
    scope,
    aud,
    extra: target.claims,
    authTime,
  };
  return { token: tokenIdOf('AccessToken'), payload };
}

async function idTokenOf(
  { client, person, token, grant, requested, target, signIdToken }: Renewal,
  issuedAt: number,
  { issuer, idTokenSeconds }: Issuing,
): Promise<SignedJwt | undefined> {
  if (!signIdToken) return undefined;
  // Where the access token opens userinfo, the rest is told there (OIDC Core §5.4), unless the client reads nothing else.
  const isToldHere = target.api !== undefined || client.claimsInIdToken;
  const told = client.claimsInIdToken ? wordsOf(token.scope) : requested;
  return signIdToken(
    await idTokenClaims({
      issuer,
      client,
      person,
      source: token,
      requested,
      told: isToldHere ? grantedScope(grant, told) : ['openid'],
      issuedAt,
      lifeSeconds: idTokenSeconds,
    }),
  );
}

function renewedBy(grantType: string | undefined): string | undefined {
  if (grantType === undefined) return undefined;
  return grantType.endsWith(GRANT_TYPE) ? grantType : `${grantType} ${GRANT_TYPE}`;
}
