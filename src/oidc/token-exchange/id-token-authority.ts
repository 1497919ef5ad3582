/**
 * ID tokens as subject tokens (RFC 8693 §3). An ID token tells who signed in, not under which grant, and what is got in
 * exchange has to end with that grant. So those of clients that may exchange tokens carry it, sealed, as JWT access
 * tokens do (structured-tokens.ts).
 */
import { createLocalJWKSet, errors, type JWK, jwtVerify } from 'jose';
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';
import { z } from 'zod';

import { type Client, TOKEN_EXCHANGE } from '../../clients/client.ts';
import { digest } from '../../platform/ids.ts';
import type { Sealer } from '../../platform/seal.ts';
import { publicPart } from '../structured-tokens.ts';
import { refuse, type Subject } from './subject.ts';

export interface IdTokenAuthority {
  /** @throws InvalidRequest */
  read: (token: string, client: Client) => Promise<Subject>;
  /** Puts what ID tokens stand on into those of clients that may exchange tokens. */
  install: (provider: Provider) => void;
}

const CARRIED_CLAIM = 'gth';
const carriedSchema = z.strictObject({
  grantId: z.string(),
  accountId: z.string(),
  sessionUid: z.string().optional(),
});
const claimsSchema = z.object({
  iat: z.number(),
  exp: z.number(),
  auth_time: z.number().optional(),
  acr: z.string().optional(),
  amr: z.array(z.string()).optional(),
  [CARRIED_CLAIM]: z.string(),
});

interface IdTokenInstance {
  client: object;
  ctx?: KoaContextWithOIDC;
  set: (claim: string, value: string) => void;
}

export function createIdTokenAuthority({
  issuer,
  keys,
  sealer,
  clientOf,
}: {
  issuer: string;
  keys: readonly JWK[];
  sealer: Sealer;
  clientOf: (providerClient: object) => Client | undefined;
}): IdTokenAuthority {
  const keySet = createLocalJWKSet({ keys: keys.map(publicPart) });

  const open = (sealed: string, client: Client): z.infer<typeof carriedSchema> => {
    try {
      return carriedSchema.parse(JSON.parse(sealer.open(sealed, contextOf(client)).toString()));
    } catch {
      throw refuse('nobody can tell what the ID token stands on');
    }
  };

  return {
    read: async (token, client) => {
      const claims = await verified(token, {
        issuer,
        audience: client.clientId,
        keySet,
        alg: client.idTokenAlg,
      });
      const { sessionUid, ...carried } = open(claims[CARRIED_CLAIM], client);
      return {
        ...carried,
        ...(sessionUid === undefined ? {} : { sessionUid }),
        signedInTo: client.clientId,
        issuedTo: client.clientId,
        iat: claims.iat,
        exp: claims.exp,
        ...(claims.auth_time === undefined ? {} : { authTime: claims.auth_time }),
        ...(claims.acr === undefined ? {} : { acr: claims.acr }),
        ...(claims.amr === undefined ? {} : { amr: claims.amr }),
        parents: [digest(token)],
      };
    },

    install: (provider) => {
      const prototype = provider.IdToken.prototype as unknown as {
        issue: (this: IdTokenInstance, options: { use: string }) => Promise<string>;
      };
      const { issue } = prototype;
      prototype.issue = function issueWithAuthority(this: IdTokenInstance, options) {
        const client = clientOf(this.client);
        if (options.use === 'idtoken' && this.ctx && client?.grantTypes.includes(TOKEN_EXCHANGE)) {
          const {
            AuthorizationCode: code,
            DeviceCode: device,
            BackchannelAuthenticationRequest: request,
            RefreshToken: refreshToken,
          } = this.ctx.oidc.entities;
          const source = (code ?? device ?? request ?? refreshToken) as
            Partial<Subject & { expiresWithSession: boolean }> | undefined;
          if (source?.grantId && source.accountId) {
            const { grantId, accountId, sessionUid, expiresWithSession } = source;
            const carried = {
              grantId,
              accountId,
              ...(expiresWithSession && sessionUid ? { sessionUid } : {}),
            };
            this.set(CARRIED_CLAIM, sealer.seal(JSON.stringify(carried), contextOf(client)));
          }
        }
        return issue.call(this, options);
      };
    },
  };
}

async function verified(
  token: string,
  {
    issuer,
    audience,
    keySet,
    alg,
  }: { issuer: string; audience: string; keySet: ReturnType<typeof createLocalJWKSet>; alg: string },
): Promise<z.infer<typeof claimsSchema>> {
  try {
    const { payload } = await jwtVerify(token, keySet, { issuer, audience, algorithms: [alg] });
    return claimsSchema.parse(payload);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof z.ZodError) {
      throw refuse(`no good ID token of this client: ${error.name}`);
    }
    throw error;
  }
}

function contextOf({ clientId }: Client): string {
  return `id_token:${clientId}`;
}
