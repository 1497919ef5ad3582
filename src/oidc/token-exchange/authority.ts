/**
 * What a token that was got in exchange stands on (RFC 8693): the grant and the session of the subject's sign-in, which
 * belong to another client, and the tokens that were presented for it. The library binds a token to a grant of its own
 * client and would not know it; so it is stored with the subject's grant, and here it is decided whether that stands.
 */
import { type AdapterPayload, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import { z } from 'zod';

import type { LiveSubject } from '../../audit/batch.ts';
import { consentKey, type RevocationList } from '../../audit/revocations.ts';
import type { IsDead } from '../liveness.ts';
import type { Resources } from '../resources.ts';
import { stands } from '../standing.ts';
import type { Model, OidcStore, StoredPayload } from '../store/port.ts';

/** The party that acts (RFC 8693 §4.1), and within, those that acted before. */
export interface Act {
  sub: string;
  client_id?: string;
  act?: Act;
}

/** Kept with the token: in the store, or sealed in the JWT. */
export const exchangeSchema = z.strictObject({
  /** Whose grant it is: the client that the person signed in to. */
  clientId: z.string(),
  /** When the token that was presented first was issued. */
  iat: z.number(),
  /** Digests of the ids of the tokens that were presented, for this one and before it. */
  parents: z.array(z.string()),
  /** Clients that the tokens before this one were issued to, beside that of the sign-in. */
  through: z.array(z.string()).exactOptional(),
  /** By API, what the tokens before this one permitted there: a way round leads no further. */
  reach: z.record(z.string(), z.array(z.string())).exactOptional(),
  /** People who act, for this token or for one before it: with the sign-in of each, the right to act ends. */
  actors: z
    .array(
      z.strictObject({
        accountId: z.string(),
        authTime: z.number(),
        grantId: z.string().exactOptional(),
        sessionUid: z.string().exactOptional(),
        /** Of the token that they showed. */
        clientId: z.string(),
        iat: z.number(),
      }),
    )
    .exactOptional(),
});
export type Exchange = z.infer<typeof exchangeSchema>;
export type ActingPerson = NonNullable<Exchange['actors']>[number];

/** What must go on for a person to act, as revocations name it: the sign-in, and that they let the client in. */
export function standingOf({ authTime, clientId, iat, ...signIn }: ActingPerson): LiveSubject[] {
  return [
    { ...signIn, issuedAt: new Date(authTime * 1000) },
    { consent: consentKey({ sub: signIn.accountId, clientId }), issuedAt: new Date(iat * 1000) },
  ];
}

/** What the request under way exchanges, for those who store, sign and record its token. */
export interface ExchangeUnderWay {
  exchange: Exchange;
  grantId: string;
  accountId: string;
  sessionUid?: string;
  authTime?: number;
  acr?: string;
  amr?: string[];
  act?: Act;
  /** For the record. */
  mode: 'impersonation' | 'delegation';
  subjectToken: string;
  actor?: string;
}

const underWay = new WeakMap<object, ExchangeUnderWay>();

export function rememberExchange({ req }: { req: object }, exchange: ExchangeUnderWay): void {
  underWay.set(req, exchange);
}

export function exchangeOf(ctx: Pick<KoaContextWithOIDC, 'req'> | undefined): ExchangeUnderWay | undefined {
  return ctx && underWay.get(ctx.req);
}

/** The token as it is stored: with what it stands on, where it is got in exchange. */
export function withExchange(model: Model, payload: StoredPayload): StoredPayload {
  const found = model === 'AccessToken' ? exchangeOf(Provider.ctx) : undefined;
  if (!found) return payload;
  const { exchange, authTime } = found;
  return { ...payload, exchange, ...(authTime === undefined ? {} : { authTime }) };
}

type TokenClaims = Resources['tokenClaims'];

/** The claims of a token got in exchange tell of the subject's sign-in, and who acts. */
export function exchangedClaims(tokenClaims: TokenClaims): TokenClaims {
  return async (ctx, token) => {
    const claims = await tokenClaims(ctx, token);
    const found = exchangeOf(ctx);
    if (!claims || !found) return claims;
    const { authTime, acr, amr, act } = found;
    return {
      ...claims,
      ...(authTime === undefined ? {} : { auth_time: authTime }),
      ...(acr === undefined ? {} : { acr }),
      ...(amr === undefined ? {} : { amr }),
      ...(act === undefined ? {} : { act }),
    };
  };
}

/** The grant and session that `createStanding` took out of a token; the library drops what it does not know. */
export interface StandsOn {
  grantId: string;
  sessionUid?: string;
}

export interface StandingDependencies {
  store: Pick<OidcStore, 'find' | 'findByUid'>;
  revocations: Pick<RevocationList, 'isRevoked'>;
  isDead: IsDead;
}

/**
 * For every token that is found.
 *
 * @returns the token as the library can take it, without the grant that is not its client's; undefined where what it
 *   stands on has ended
 */
export function createStanding({ store, revocations, isDead }: StandingDependencies) {
  return async (payload: AdapterPayload): Promise<AdapterPayload | undefined> => {
    if (payload['exchange'] === undefined) return payload;
    const exchange = exchangeSchema.parse(payload['exchange']);
    const { clientId, iat, parents, through = [], actors = [] } = exchange;
    const isRevoked =
      parents.some((tokenId) => revocations.isRevoked({ tokenId })) ||
      [clientId, ...through].some((id) =>
        revocations.isRevoked({ clientId: id, issuedAt: new Date(iat * 1000) }),
      ) ||
      actors.flatMap(standingOf).some(revocations.isRevoked);
    if (isRevoked) return undefined;
    const { grantId, sessionUid, expiresWithSession, ...rest } = payload;
    const [grant, session] = await Promise.all([
      store.find('Grant', String(grantId)),
      expiresWithSession === true ? store.findByUid(String(sessionUid)) : undefined,
    ]);
    if (!grant || !stands({ token: payload, grant, session }, isDead, clientId)) return undefined;
    const standsOn: StandsOn = {
      grantId: String(grantId),
      ...(expiresWithSession === true ? { sessionUid: String(sessionUid) } : {}),
    };
    return { ...rest, standsOn };
  };
}
