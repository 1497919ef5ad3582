/**
 * A refresh (RFC 6749 §6) of a client that has a secret: the refresh that succeeds. All that could refuse it is looked at
 * before the token is spent, by the same rules as on the library's way (refresh-rules.ts, liveness.ts, entitlement.ts).
 * From the spending on it is the way of every refresh: one attempt that PostgreSQL judges with the record (spending.ts),
 * what is issued written right before that, and the sealed answer kept for an honest retry. An attempt that is lost
 * leaves nothing behind; the library then meets what it lost to, and says so.
 */
import type { ApiService } from '../../apis/service.ts';
import type { UnitOfWork } from '../../audit/unit-of-work.ts';
import { type Client, DEVICE_CODE_GRANT, type GrantType } from '../../clients/client.ts';
import { rotatesRefreshToken } from '../../clients/refresh-options.ts';
import { epochSeconds } from '../../platform/clock.ts';
import { wordsOf } from '../entitlement.ts';
import type { FindPerson } from '../find-account.ts';
import type { IsDead } from '../liveness.ts';
import { LEASE_SECONDS, questionOf } from '../refresh-answers.ts';
import { type FindRefreshLimits, refreshTokenSeconds, whyRenewsNothing } from '../refresh-rules.ts';
import type { AttemptToSpend } from '../spending.ts';
import { stands } from '../standing.ts';
import { mayBe } from '../token-ids.ts';
import { CLIENT_PARAMETERS } from './client.ts';
import { asGrant, asRefreshToken, type HeldRefreshToken } from './held.ts';
import { type RefreshTarget, targetOf } from './refresh-target.ts';
import { type Issuing, issueRenewed, type Renewal } from './renewal.ts';
import { type Form, SCOPE_WORD } from './request.ts';
import type { SignerFor } from './signing.ts';

export const REFRESH_PARAMETERS: ReadonlySet<string> = new Set([
  'grant_type',
  'refresh_token',
  'scope',
  'resource',
  ...CLIENT_PARAMETERS,
]);

export interface FastRefresh extends Issuing {
  isDead: IsDead;
  apis: Pick<ApiService, 'find'>;
  findPerson: FindPerson;
  findRefreshLimits: FindRefreshLimits;
  attemptToSpend: AttemptToSpend;
  signerFor: SignerFor;
}

/** Of a client that has others, something else may have to be told or checked. */
const KNOWN_GRANT_TYPES: ReadonlySet<GrantType> = new Set<GrantType>([
  'authorization_code',
  'refresh_token',
  'client_credentials',
  DEVICE_CODE_GRANT,
]);

/**
 * Spends the token, and leaves in the unit of work what is to be written and recorded.
 *
 * @returns the answer, undefined where the library has to give one; then nothing is left in the unit of work
 */
export async function renew(
  client: Client,
  form: Form,
  unit: UnitOfWork,
  dependencies: FastRefresh,
): Promise<object | undefined> {
  const renewal = await allowedRenewal(client, form, dependencies);
  if (!renewal) return undefined;
  const { presented, token } = renewal;
  const { outcome, spender } = await dependencies.attemptToSpend(unit, {
    model: 'RefreshToken',
    id: presented,
    exp: token.exp,
    grantId: token.grantId,
    mark: (name) =>
      dependencies.store.spend('RefreshToken', presented, { spender: name, leaseSeconds: LEASE_SECONDS }),
  });
  // Whose mark was taken over may have been recorded, and have an answer to inherit: that is for the library to find out.
  if (outcome.kind !== 'won' || outcome.tookOverFrom !== undefined) {
    await unit.rollback();
    return undefined;
  }
  return issueRenewed(renewal, { unit, spender }, dependencies);
}

async function allowedRenewal(
  client: Client,
  { refresh_token: presented, scope: asked, resource }: Form,
  dependencies: FastRefresh,
): Promise<Renewal | undefined> {
  if (presented === undefined || !mayRotateFor(client)) return undefined;
  const held = await findHeld(client, presented, dependencies);
  const requested = held && requestedOf(held.token, asked);
  if (!requested) return undefined;
  const { token, grant } = held;
  const { apis, findPerson, findRefreshLimits, clock } = dependencies;

  const limits = await findRefreshLimits(client, token.resource);
  const person = await findPerson(token.accountId);
  if (!person) return undefined;
  const livedSeconds = epochSeconds(clock) - (token.iiat ?? token.iat);
  const refusal = await whyRenewsNothing({ client, scope: token.scope, person, livedSeconds, limits });
  if (refusal !== undefined) return undefined;
  const target = await targetOf({ token, grant, requested, resource, person }, apis);
  const signers = target && signersFor(client, target, requested, dependencies);
  if (!signers) return undefined;
  return {
    ...signers,
    presented,
    token,
    grant,
    client,
    person,
    requested,
    target,
    refreshTokenSeconds: refreshTokenSeconds(limits, livedSeconds),
    question: questionOf({ scope: asked, resource }),
  };
}

/** Whether every refresh of the client gives a new token, bound to nothing but its secret. */
function mayRotateFor(client: Client): boolean {
  return (
    client.grantTypes.includes('refresh_token') &&
    client.grantTypes.every((type) => KNOWN_GRANT_TYPES.has(type)) &&
    !client.dpopBoundAccessTokens &&
    rotatesRefreshToken(client, { isSenderConstrained: () => false })
  );
}

/** The token with its grant, where both are the client's, stand, and hold nothing unknown. */
async function findHeld(
  client: Client,
  presented: string,
  { store, isDead, clock }: FastRefresh,
): Promise<Pick<Renewal, 'token' | 'grant'> | undefined> {
  if (!mayBe('RefreshToken', presented)) return undefined;
  const standing = await store.findStanding('RefreshToken', presented);
  const token = standing && asRefreshToken(standing.token);
  const grant = standing?.grant && asGrant(standing.grant);
  if (!token || !grant) return undefined;
  if (isDead('RefreshToken', presented, standing.token) || !stands(standing, isDead)) return undefined;
  const now = epochSeconds(clock);
  const isOver = token.exp <= now || (grant.exp !== undefined && grant.exp <= now);
  return isOver || token.clientId !== client.clientId ? undefined : { token, grant };
}

/** The words of the scope, where the token has them all. */
function requestedOf({ scope }: HeldRefreshToken, asked: string | undefined): string[] | undefined {
  const held = wordsOf(scope);
  if (asked === undefined) return held;
  const requested = [...new Set(asked.split(' '))];
  return requested.every((word) => SCOPE_WORD.test(word) && held.includes(word)) ? requested : undefined;
}

/** What signs what the refresh gives, where each of it can be signed here. */
function signersFor(
  client: Client,
  { at }: RefreshTarget,
  requested: readonly string[],
  { signerFor }: FastRefresh,
): Pick<Renewal, 'signAccessToken' | 'signIdToken'> | undefined {
  const isStructured = at?.api.accessTokenFormat === 'jwt';
  const signAccessToken = isStructured ? signerFor(at.api.signingAlg, 'at+jwt') : undefined;
  const signIdToken = requested.includes('openid') ? signerFor(client.idTokenAlg, undefined) : undefined;
  if (isStructured && !signAccessToken) return undefined;
  if (requested.includes('openid') && !signIdToken) return undefined;
  return { ...(signAccessToken && { signAccessToken }), ...(signIdToken && { signIdToken }) };
}
