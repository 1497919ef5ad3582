import { hasSecret, type Client } from '../../clients/client.ts';
import { toMetadata } from '../../clients/metadata.ts';
import { presentProtocolOptions } from '../../clients/protocol-options.ts';
import type { ClientService } from '../../clients/service.ts';
import type { Form } from './request.ts';

/** The parameters of RFC 6749 §2.3.1. */
export const CLIENT_PARAMETERS = ['client_id', 'client_secret'] as const;

/** What a client may have for the fast paths to know it; anything else may change what it is answered. */
const KNOWN_METADATA = new Set([
  'client_id',
  'client_secret',
  'client_name',
  'application_type',
  'redirect_uris',
  'post_logout_redirect_uris',
  'grant_types',
  'response_types',
  'token_endpoint_auth_method',
  'scope',
  'subject_type',
  'id_token_signed_response_alg',
  'require_pushed_authorization_requests',
  'dpop_bound_access_tokens',
  'contacts',
  'client_uri',
  'logo_uri',
  'policy_uri',
  'tos_uri',
  'initiate_login_uri',
  'refresh_token_idle_seconds',
  'refresh_token_absolute_seconds',
  'default_max_age',
  'default_acr_values',
  'backchannel_logout_uri',
  'backchannel_logout_session_required',
  'frontchannel_logout_uri',
  'frontchannel_logout_session_required',
  'gatehouse',
]);

const known = new WeakMap<Client, boolean>();

/** Whether the client has nothing that the fast paths do not know of. Its subjects are public. */
export function isKnown(client: Client): boolean {
  let isPlain = known.get(client);
  if (isPlain === undefined) {
    const metadata = { ...presentProtocolOptions(client), ...toMetadata(client) };
    isPlain =
      Object.keys(metadata).every((name) => KNOWN_METADATA.has(name)) &&
      (metadata.subject_type as string) === 'public' &&
      // Those that no operator registered may reach fewer APIs.
      client.origin === undefined;
    known.set(client, isPlain);
  }
  return isPlain;
}

/**
 * The client that proves itself by its secret, in the header or in the form; which of the two it registered does not
 * matter to the library either.
 *
 * @returns undefined where it does not: the library refuses it, in its own words
 */
export async function clientBySecret(
  authorization: string | undefined,
  form: Form,
  clients: Pick<ClientService, 'findKnown' | 'verifySecret'>,
): Promise<Client | undefined> {
  const presented = authorization === undefined ? inForm(form) : inHeader(authorization, form);
  if (!presented) return undefined;
  // Clients of documents have no secrets, and nobody's host need be asked.
  const client = await clients.findKnown(presented.clientId);
  const isProven =
    client !== undefined &&
    hasSecret(client) &&
    isKnown(client) &&
    clients.verifySecret(client, presented.secret);
  return isProven ? client : undefined;
}

interface Presented {
  clientId: string;
  secret: string;
}

function inForm({ client_id: clientId, client_secret: secret }: Form): Presented | undefined {
  return clientId !== undefined && secret !== undefined ? { clientId, secret } : undefined;
}

function inHeader(authorization: string, form: Form): Presented | undefined {
  if (form['client_secret'] !== undefined) return undefined;
  const [, encoded = ''] = /^basic ([A-Za-z0-9+/]+={0,2})$/i.exec(authorization) ?? [];
  if (encoded === '' || encoded.length % 4 !== 0) return undefined;
  const pair = Buffer.from(encoded, 'base64').toString();
  const colon = pair.indexOf(':');
  if (colon === -1) return undefined;
  const clientId = formDecoded(pair.slice(0, colon));
  const secret = formDecoded(pair.slice(colon + 1));
  if (!clientId || !secret || (form['client_id'] !== undefined && form['client_id'] !== clientId))
    return undefined;
  return { clientId, secret };
}

/** RFC 6749 §2.3.1 and appendix A: form-encoded, visible ASCII within. */
function formDecoded(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text.replaceAll('+', '%20'));
    return /[^\x20-\x7e]/.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}
