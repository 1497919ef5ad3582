import { errors, Provider } from 'oidc-provider';

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
    const isAsked =
      oidc?.route === 'token' && oidc.client === this && oidc.params?.['grant_type'] === grantType;
    if (!isAllowed && isAsked) {
      throw new errors.UnauthorizedClient('requested grant type is not allowed for this client');
    }
    return isAllowed;
  };
}
