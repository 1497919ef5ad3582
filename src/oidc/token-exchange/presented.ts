/**
 * The tokens that are presented for an exchange, and who may present them: a client may hold its own tokens and those
 * for the API that it stands for, and no others. Whatever is wrong with one, the client is told the same (RFC 8693
 * §2.2.2); the record tells what.
 */
import { type AdapterPayload, type KoaContextWithOIDC, type Provider } from 'oidc-provider';

import type { Api } from '../../apis/api.ts';
import type { Client } from '../../clients/client.ts';
import { digest } from '../../platform/ids.ts';
import { wordsOf } from '../entitlement.ts';
import type { IdTokenAuthority } from './id-token-authority.ts';
import { type Act, type ActingPerson, exchangeSchema, type StandsOn } from './authority.ts';
import { refuse, type Subject } from './subject.ts';
import { ID_TOKEN_TYPE, type PresentedToken } from './request.ts';

export interface Actor {
  act: Act;
  /** A person, where it is not the client itself. */
  person?: ActingPerson;
  exp: number;
  jkt?: string;
  certificate?: string;
  parent: string;
}

export interface PresentedDependencies {
  findApi: (identifier: string) => Promise<Api | undefined>;
  /** The id that the adapter knows a JWT of ours by; others stay as they are. */
  mark: (token: string) => string;
  idTokens: Pick<IdTokenAuthority, 'read'>;
  /** The payload as it was stored or signed. */
  stored: (token: string) => Promise<AdapterPayload | undefined>;
}

export interface PresentedTokens {
  /** @throws InvalidRequest */
  subject: (ctx: KoaContextWithOIDC, client: Client, token: PresentedToken) => Promise<Subject>;
  /** @throws InvalidRequest */
  actor: (ctx: KoaContextWithOIDC, client: Client, token: PresentedToken) => Promise<Actor>;
}

type AccessToken = InstanceType<Provider['AccessToken']>;

export function createPresentedTokens(dependencies: PresentedDependencies): PresentedTokens {
  const { findApi, mark, idTokens, stored } = dependencies;

  const mayHold = async (client: Client, token: AccessToken): Promise<boolean> => {
    if (token.clientId === client.clientId) return true;
    const api = typeof token.aud === 'string' ? await findApi(token.aud) : undefined;
    return api !== undefined && api.clientId === client.clientId;
  };

  /** Found, unexpired, unrevoked, and the client's to hold. */
  const accessToken = async ({ oidc }: KoaContextWithOIDC, client: Client, value: string) => {
    const token = await oidc.provider.AccessToken.find(mark(value));
    if (!token || !token.isValid) throw refuse('no live access token of a person');
    if (!(await mayHold(client, token))) {
      throw refuse('it was issued to another client, for an API that this client does not stand for');
    }
    const payload = await stored(mark(value));
    if (!payload) throw refuse('it has ended a moment ago');
    return { token, payload };
  };

  const subject: PresentedTokens['subject'] = async (ctx, client, { value, type }) => {
    if (type === ID_TOKEN_TYPE) return idTokens.read(value, client);
    const { token, payload } = await accessToken(ctx, client, value);
    const carried = payload['exchange'] === undefined ? undefined : exchangeSchema.parse(payload['exchange']);
    const extra = (payload.extra ?? {}) as { acr?: string; amr?: string[]; act?: Act };
    const { grantId, sessionUid } = standsOn(payload);
    const authTime = payload['authTime'];
    return {
      accountId: String(payload.accountId),
      grantId,
      ...(sessionUid === undefined ? {} : { sessionUid }),
      signedInTo: carried?.clientId ?? String(token.clientId),
      issuedTo: String(token.clientId),
      iat: carried?.iat ?? Number(payload.iat),
      exp: Number(payload.exp),
      ...(typeof authTime === 'number' ? { authTime } : {}),
      ...(extra.acr === undefined ? {} : { acr: extra.acr }),
      ...(extra.amr === undefined ? {} : { amr: extra.amr }),
      ...(extra.act === undefined ? {} : { act: extra.act }),
      ...(typeof token.aud === 'string' ? { audience: token.aud } : {}),
      scope: wordsOf(token.scope),
      ...bindingOf(token),
      parents: [...(carried?.parents ?? []), digest(String(payload.jti))],
      ...(carried ? { through: [...new Set([...(carried.through ?? []), String(token.clientId)])] } : {}),
      ...(carried?.actors === undefined ? {} : { actors: carried.actors }),
      ...(carried?.reach === undefined ? {} : { reach: carried.reach }),
    };
  };

  return {
    subject,
    actor: async (ctx, client, { value, type }) => {
      if (type === ID_TOKEN_TYPE) throw refuse('who acts shows an access token');
      const machine = await ctx.oidc.provider.ClientCredentials.find(mark(value));
      if (machine?.isValid) {
        if (machine.clientId !== client.clientId) throw refuse('the actor token is of another client');
        return {
          act: { sub: client.clientId },
          exp: Number(machine.exp),
          ...bindingOf(machine),
          parent: digest(machine.jti),
        };
      }
      const person = await subject(ctx, client, { value, type });
      if (person.issuedTo !== client.clientId) throw refuse('the actor token is of another client');
      if (person.act || person.parents.length > 1) throw refuse('the actor acts for somebody else');
      if (ctx.oidc.client?.subjectType === 'pairwise') {
        throw refuse('what the client calls a person is nothing to tell an API');
      }
      return {
        act: { sub: person.accountId, client_id: client.clientId },
        person: {
          accountId: person.accountId,
          authTime: person.authTime ?? person.iat,
          grantId: person.grantId,
          ...(person.sessionUid === undefined ? {} : { sessionUid: person.sessionUid }),
          clientId: person.signedInTo,
          iat: person.iat,
        },
        exp: person.exp,
        ...(person.jkt === undefined ? {} : { jkt: person.jkt }),
        ...(person.certificate === undefined ? {} : { certificate: person.certificate }),
        parent: person.parents[0] ?? '',
      };
    },
  };
}

function standsOn(payload: AdapterPayload): StandsOn {
  if (payload['standsOn'] !== undefined) return payload['standsOn'] as StandsOn;
  const { grantId, sessionUid, expiresWithSession } = payload;
  return {
    grantId: String(grantId),
    ...(expiresWithSession === true ? { sessionUid: String(sessionUid) } : {}),
  };
}

function bindingOf(token: object): { jkt?: string; certificate?: string } {
  const { jkt, 'x5t#S256': certificate } = token as { jkt?: string; 'x5t#S256'?: string };
  return {
    ...(jkt === undefined ? {} : { jkt }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}
