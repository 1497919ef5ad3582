import type { Client } from './client.ts';
import { destinationOf } from './redirect-uris.ts';

/** What an operator should know about a client that is allowed but weaker than it could be; empty for most. */
export function adviceOn(client: Client): string[] {
  const destinations = new Set(client.redirectUris.map((uri) => destinationOf(uri)));
  const advice: string[] = [];
  if (!client.requirePkce) {
    advice.push('PKCE is not required: a stolen code can be redeemed in another session (RFC 9700 §2.1.1).');
  }
  if (destinations.has('localhost')) {
    advice.push('A redirect URI uses http://localhost: a convenience for development (RFC 8252 §8.3).');
  } else if (client.kind !== 'native' && destinations.has('loopback')) {
    advice.push('A redirect URI uses http on loopback: for development only.');
  }
  return advice;
}
