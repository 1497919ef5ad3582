import { expect, it } from '@jest/globals';
import type { Provider } from 'oidc-provider';

import type { Client } from '../../../src/clients/client.ts';
import { registerTokenExchange } from '../../../src/oidc/token-exchange/handler.ts';
import { ACCESS_TOKEN_TYPE } from '../../../src/oidc/token-exchange/request.ts';

const NOW = new Date('2026-03-01T12:00:00Z');
const API = 'https://api.example';
const SERVICE = {
  clientId: 'service',
  tokenExchangeAudiences: [API],
  tokenExchangeModes: ['impersonation', 'delegation'],
} as unknown as Client;

/** An exchange of tokens that end then. @returns how long the new one lives */
async function exchangeAt({
  exp,
  actorExp,
}: {
  exp: number;
  actorExp?: number;
}): Promise<number | undefined> {
  let lives: number | undefined;
  class AccessToken {
    constructor({ expiresIn }: { expiresIn: number }) {
      lives = expiresIn;
    }
    save = (): Promise<string> => Promise.resolve('at_token');
  }
  let handle: (ctx: unknown) => Promise<void> = () => Promise.resolve();
  const provider = {
    AccessToken,
    ResourceServer: Object,
    registerGrantType: (_type: string, handler: typeof handle) => {
      handle = handler;
    },
  };
  registerTokenExchange(
    provider as unknown as Provider,
    {
      apis: {
        find: () =>
          Promise.resolve({ identifier: API, permissions: [{ name: 'read' }], allowOfflineAccess: true }),
      },
      resources: { info: () => Promise.resolve({}) },
      presented: {
        subject: () =>
          Promise.resolve({
            accountId: 'person',
            grantId: 'grant',
            signedInTo: 'front',
            issuedTo: 'service',
            iat: exp - 600,
            exp,
            audience: API,
            scope: ['read'],
            parents: ['parent'],
          }),
        actor: () => Promise.resolve({ act: { sub: 'service' }, exp: actorExp, parent: 'actor' }),
      },
      clientOf: () => SERVICE,
      findAccount: () =>
        Promise.resolve({
          id: 'person',
          roles: () => Promise.resolve([]),
          rolesPermitting: () => Promise.resolve([{ permissions: ['read'] }]),
        }),
      stands: () => Promise.resolve(true),
      certificateOf: () => undefined,
      proofs: { algorithms: [], requiresNonce: () => false },
      accessTokenSeconds: 3_600,
      clock: { now: () => NOW },
    } as unknown as Parameters<typeof registerTokenExchange>[1],
  );
  const params = {
    subject_token: 'at_1',
    subject_token_type: ACCESS_TOKEN_TYPE,
    audience: API,
    ...(actorExp === undefined ? {} : { actor_token: 'cc_1', actor_token_type: ACCESS_TOKEN_TYPE }),
  };
  await handle({ req: {}, get: () => '', oidc: { client: {}, params, entity: () => {} } });
  return lives;
}

it('gives no more time than the presented token has left', async () => {
  expect(await exchangeAt({ exp: NOW.getTime() / 1000 + 7 })).toBe(7);
});

it('gives no more time than the token of who acts has left, for its revocation is remembered no longer', async () => {
  const now = NOW.getTime() / 1000;
  expect(await exchangeAt({ exp: now + 600, actorExp: now + 7 })).toBe(7);
  expect(await exchangeAt({ exp: now + 7, actorExp: now + 600 })).toBe(7);
});

it('gives nothing for a token whose last second passes meanwhile', async () => {
  await expect(exchangeAt({ exp: NOW.getTime() / 1000 })).rejects.toMatchObject({
    error: 'invalid_request',
    error_detail: 'it has expired meanwhile',
  });
});
