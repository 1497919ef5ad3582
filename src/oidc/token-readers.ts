/**
 * Who may ask about a token (RFC 7662 §2.1): its own client, and the client that stands for the API that it is for.
 * Only one that can prove who it is: whoever found a token must learn nothing about it.
 */
import type { ApiService } from '../apis/service.ts';
import type { Client } from '../clients/client.ts';
import { orTemporarilyUnavailable } from './errors.ts';

/** @returns false also where there is nothing left to tell: the API, or the token's client, is no longer there */
export type MayAsk = (
  asking: { clientId: string; clientAuthMethod?: string | undefined },
  token: { clientId?: string | undefined; aud?: unknown },
) => Promise<boolean>;

export function createMayIntrospect({
  apis,
  findClient,
}: {
  apis: Pick<ApiService, 'find'>;
  findClient: (clientId: string) => Promise<Client | undefined>;
}): MayAsk {
  return async (asking, { clientId, aud }) => {
    if (asking.clientAuthMethod === 'none' || clientId === undefined) return false;
    const isOwn = asking.clientId === clientId;
    if (aud === undefined) return isOwn;
    const api = typeof aud === 'string' ? await orTemporarilyUnavailable(() => apis.find(aud)) : undefined;
    if (!api || !(isOwn || api.clientId === asking.clientId)) return false;
    return isOwn || (await orTemporarilyUnavailable(() => findClient(clientId))) !== undefined;
  };
}
