/**
 * OIDC Core §11: `offline_access` is ignored unless the person is asked, *or* other conditions permit it. The library
 * knows the first only; the operator's word for a first-party client is the other. Installed as the validator of a
 * parameter of our own, because those run last, after the library dropped the scope.
 */
import { decodeJwt } from 'jose';
import type { KoaContextWithOIDC } from 'oidc-provider';

import type { Client } from '../clients/client.ts';

export function createOfflineAccess(clientOf: (providerClient: object) => Client | undefined) {
  return (ctx: KoaContextWithOIDC): void => {
    const { oidc } = ctx;
    const client = oidc.client && clientOf(oidc.client);
    const { params } = oidc;
    if (!params || client?.consent !== 'never' || !client.grantTypes.includes('refresh_token')) return;
    const scopes = new Set(textOf(params['scope']).split(' '));
    if (!scopes.has('openid') || !requestedScope(ctx).split(' ').includes('offline_access')) return;
    params['scope'] = [...scopes.add('offline_access')].join(' ');
  };
}

/** As the client wrote it, before the library took anything away. */
function requestedScope(ctx: KoaContextWithOIDC): string {
  const pushed = ctx.oidc.entities.PushedAuthorizationRequest as { request?: string } | undefined;
  if (pushed?.request) return textOf(decodeJwt(pushed.request)['scope']);
  const given = ctx.oidc.body ?? ctx.query;
  return textOf(given['scope']);
}

/** A parameter given twice is an array; the library refuses it elsewhere. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
