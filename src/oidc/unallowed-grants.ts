import { errors, Provider } from 'oidc-provider';

import { CIBA_GRANT, DEVICE_CODE_GRANT } from '../clients/client.ts';

/** Endpoints that begin one: so RFC 8628 §3.2 and OpenID CIBA Core 1.0 §13 have it as well. */
const STARTED_AT: Readonly<Record<string, string>> = {
  backchannel_authentication: CIBA_GRANT,
  device_authorization: DEVICE_CODE_GRANT,
};

/**
 * A grant type that the client may not use is refused as `unauthorized_client` (RFC 6749 §5.2); the library calls it an
 * invalid request. It asks about the request's own grant type once, right after it knows that there is such a type.
 */
export function refuseUnallowedGrants(provider: Provider): void {
  const prototype = provider.Client.prototype as unknown as {
    grantTypeAllowed: (this: object, grantType: string) => boolean;
  };
  const { grantTypeAllowed } = prototype;
  prototype.grantTypeAllowed = function allowedOrRefused(this: object, grantType) {
    const isAllowed = grantTypeAllowed.call(this, grantType);
    const oidc = Provider.ctx?.oidc;
    const asked = oidc?.route === 'token' ? oidc.params?.['grant_type'] : STARTED_AT[oidc?.route ?? ''];
    if (!isAllowed && oidc?.client === this && asked === grantType) {
      throw new errors.UnauthorizedClient('requested grant type is not allowed for this client');
    }
    return isAllowed;
  };
}
