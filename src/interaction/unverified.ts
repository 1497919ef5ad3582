import type { Client } from '../clients/client.ts';
import type { Message } from '../http/views/form.ts';

/** What a person can know an app by, as far as somebody answers for it. */
export interface Recognition {
  host: string | undefined;
  /** What they should know before they say yes. */
  message?: Message;
}

/**
 * An operator's client is known by its own page. Of one that nobody registered here only that counts which it cannot
 * make up: the host of its document, else where the person is sent, never what it says of itself.
 */
export function recognitionOf(client: Client, redirectUri: string | undefined): Recognition {
  if (client.origin === undefined) return { host: hostOf(client.clientUri ?? client.redirectUris[0]) };
  const destination = redirectUri === undefined ? null : URL.parse(redirectUri);
  const isLocal = destination !== null && destination.protocol !== 'https:';
  const host = client.origin === 'document' ? new URL(client.clientId).host : hostOf(redirectUri);
  const goesTo = hostOf(redirectUri);
  return {
    host: isLocal && client.origin === 'dynamic' ? undefined : host,
    message: {
      tone: 'notice',
      title: 'Nobody here has checked this app.',
      text: isLocal
        ? 'It runs on your own device, where any program can say that it is this app. Allow it only if you have just started it.'
        : goesTo !== host && goesTo !== undefined
          ? `It chose its name by itself. Your answer goes to ${goesTo}. Allow it only if you know both addresses.`
          : 'It chose its name by itself. Allow it only if you know the address above.',
    },
  };
}

/** As a person knows it from the address bar; a private-use scheme (RFC 8252 §7.1) has none. */
export function hostOf(uri: string | undefined): string | undefined {
  const parsed = uri === undefined ? null : URL.parse(uri);
  return parsed && parsed.protocol.startsWith('http') ? parsed.host : undefined;
}
