/**
 * Clients that ask a person without their browser (OpenID CIBA Core 1.0 §4): by polling for the answer, or by being told
 * when there is one. Who may ask at all is said by the grant type.
 */
import { AppError } from '../platform/errors.ts';
import { CIBA_GRANT, isPublic, type ClientDefinition } from './client.ts';
import { checkServerUri } from './redirect-uris.ts';

/** @throws AppError `invalid_client` (400) */
export function checkCiba(definition: ClientDefinition): void {
  const { backchannelTokenDeliveryMode: mode, backchannelClientNotificationEndpoint: endpoint } = definition;
  if (!definition.grantTypes.includes(CIBA_GRANT)) {
    if (mode !== undefined || endpoint !== undefined) {
      throw refuse(`a delivery mode and its address are for the grant type ${CIBA_GRANT}`);
    }
    return;
  }
  if (isPublic(definition)) {
    throw refuse('a public client cannot prove who it is, so it may not ask people without their browser');
  }
  if (!definition.scopes.includes('openid')) throw refuse(`${CIBA_GRANT} needs the scope openid`);
  if (mode !== 'ping') {
    if (endpoint !== undefined) throw refuse('only the delivery mode ping has an address to notify');
    return;
  }
  if (endpoint === undefined)
    throw refuse(
      'the delivery mode ping needs backchannel_client_notification_endpoint, the address to notify',
    );
  // Plain http reaches only what the operator has allowed (platform/outgoing.ts).
  checkServerUri(endpoint, { property: 'backchannel_client_notification_endpoint', mayBeHttp: true });
}

/**
 * As oidc-provider's client metadata. It wants an https address for ping, which it never asks: the notices are ours
 * (approvals/), so that one that is allowed over http does not stop the client.
 */
export function cibaMetadata(definition: ClientDefinition): {
  backchannel_token_delivery_mode?: string;
  backchannel_client_notification_endpoint?: string;
} {
  if (!definition.grantTypes.includes(CIBA_GRANT)) return {};
  const { backchannelTokenDeliveryMode: mode = 'poll', backchannelClientNotificationEndpoint: endpoint } =
    definition;
  if (mode === 'poll') return { backchannel_token_delivery_mode: mode };
  return {
    backchannel_token_delivery_mode: mode,
    backchannel_client_notification_endpoint: endpoint?.startsWith('https:')
      ? endpoint
      : 'https://notified-by-gatehouse.invalid/',
  };
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `This client cannot be registered so: ${advice}.`);
}
