/**
 * What is sent to a client apart from any request: logout tokens, encrypted with the keys and algorithms of its ID
 * tokens, for a client that has those encrypted should refuse plain ones (OIDC Back-Channel Logout 1.0 §2.4, §2.6).
 */
import { CompactEncrypt, importJWK, type JWK } from 'jose';
import type { Provider } from 'oidc-provider';

import { AppError } from '../platform/errors.ts';
import { fetchingFor } from './self-registered.ts';

interface EncryptedTo {
  idTokenEncryptedResponseAlg?: string;
  idTokenEncryptedResponseEnc?: string;
  asymmetricKeyStore: {
    refresh: () => Promise<void>;
    selectForEncrypt: (options: object) => JWK[];
  };
}

/** @returns the JWT as it is for a client that has nothing encrypted */
export type EncryptToClient = (clientId: string, jwt: string) => Promise<string>;

/** @throws AppError 502 `no_encryption_key`, in the returned function, where the client's key cannot be had now */
export function createEncryptToClient({
  issuer,
  provider,
}: {
  issuer: string;
  provider: () => Provider;
}): EncryptToClient {
  return async (clientId, jwt) => {
    const client = (await provider().Client.find(clientId)) as unknown as EncryptedTo | undefined;
    // Deleted meanwhile, or no client to the library: never in the clear, where it may have asked for more.
    if (!client) throw noKey(new Error('there is no such client'));
    const { idTokenEncryptedResponseAlg: alg, idTokenEncryptedResponseEnc: enc } = client;
    if (alg === undefined || enc === undefined) return jwt;
    const { asymmetricKeyStore: keys } = client;
    await fetchingFor
      .run(client, () => keys.refresh())
      .catch((cause: unknown) => {
        throw noKey(cause);
      });
    const [jwk] = keys.selectForEncrypt({ alg, use: 'enc' });
    if (!jwk) throw noKey(new Error(`it has no key of "use" enc for ${alg}`));
    const { kid } = jwk;
    return new CompactEncrypt(Buffer.from(jwt))
      .setProtectedHeader({
        alg,
        enc,
        cty: 'JWT',
        ...(kid === undefined ? {} : { kid }),
        iss: issuer,
        aud: clientId,
      })
      .encrypt(await importJWK(jwk, alg));
  };
}

function noKey(cause: unknown): AppError {
  return new AppError('no_encryption_key', 502, "The client's key to encrypt to cannot be had.", { cause });
}
