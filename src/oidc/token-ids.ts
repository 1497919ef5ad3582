import type { Provider } from 'oidc-provider';

import { randomToken } from '../platform/ids.ts';

/**
 * Tokens say what they are by a prefix, so that a secret scanner recognises them and a token of one kind is never
 * looked up among those of another (introspection tries three kinds).
 */
const PREFIXES = {
  AccessToken: 'at_',
  ClientCredentials: 'cc_',
  RefreshToken: 'rt_',
  AuthorizationCode: 'ac_',
  DeviceCode: 'dc_',
  BackchannelAuthenticationRequest: 'br_',
} as const;

type PrefixedModel = keyof typeof PREFIXES;

/**
 * 256 random bits behind the prefix (RFC 6749 §10.10 asks for 160 at least). The library's own function still runs: it
 * decides the token's format on the way, and a structured token (JWT) keeps the id that it gives.
 */
export function prefixTokenIds(provider: Provider): void {
  for (const model of Object.keys(PREFIXES) as PrefixedModel[]) {
    const prototype = provider[model].prototype as unknown as {
      generateTokenId: (this: { format?: string }) => string;
    };
    const { generateTokenId } = prototype;
    prototype.generateTokenId = function generatePrefixed(this: { format?: string }) {
      const id = generateTokenId.call(this);
      return this.format === 'jwt' ? id : tokenIdOf(model);
    };
  }
}

/** A new id of an opaque token. */
export function tokenIdOf(model: PrefixedModel): string {
  return `${PREFIXES[model]}${randomToken()}`;
}

/** False where the value cannot be a token of that kind. */
export function mayBe(model: string, value: string): boolean {
  const prefix = (PREFIXES as Record<string, string>)[model];
  return prefix === undefined || value.startsWith(prefix);
}
