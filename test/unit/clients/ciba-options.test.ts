import { describe, expect, it } from '@jest/globals';

import { CIBA_GRANT } from '../../../src/clients/client.ts';
import { defineClient, type DefinitionInput } from '../../../src/clients/definition.ts';

const DESK: DefinitionInput = { name: 'Service desk', grantTypes: [CIBA_GRANT, 'refresh_token'] };
const NOTIFY_AT = 'https://desk.example/approved';

describe('a client that asks people without their browser', () => {
  it('needs no redirect URI, and keeps a secret', () => {
    expect(defineClient(DESK)).toMatchObject({
      kind: 'web',
      authMethod: 'client_secret_basic',
      redirectUris: [],
      scopes: ['openid', 'profile', 'email', 'roles', 'offline_access'],
    });
  });

  it.each<[string, Partial<DefinitionInput>]>([
    ['polls', { backchannelTokenDeliveryMode: 'poll' }],
    ['is told', { backchannelTokenDeliveryMode: 'ping', backchannelClientNotificationEndpoint: NOTIFY_AT }],
    [
      'signs people in as well',
      {
        redirectUris: ['https://desk.example/cb'],
        grantTypes: ['authorization_code', CIBA_GRANT, 'refresh_token'],
      },
    ],
  ])('%s', (_, input) => {
    expect(defineClient({ ...DESK, ...input })).toMatchObject(input);
  });

  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    ['public', { authMethod: 'none', kind: 'native' }, /public client/],
    ['without openid', { scopes: ['email'] }, /scope openid/],
    [
      'told, without an address',
      { backchannelTokenDeliveryMode: 'ping' },
      /needs backchannel_client_notification_endpoint/,
    ],
    [
      'polling, with an address',
      { backchannelClientNotificationEndpoint: NOTIFY_AT },
      /only the delivery mode ping/,
    ],
    [
      'told by another scheme',
      { backchannelTokenDeliveryMode: 'ping', backchannelClientNotificationEndpoint: 'ftp://desk.example/' },
      /use https/,
    ],
    [
      'told at an address with a fragment',
      { backchannelTokenDeliveryMode: 'ping', backchannelClientNotificationEndpoint: `${NOTIFY_AT}#here` },
      /backchannel_client_notification_endpoint/,
    ],
    [
      'told, without the grant type',
      {
        redirectUris: ['https://desk.example/cb'],
        grantTypes: ['authorization_code'],
        scopes: ['openid'],
        backchannelTokenDeliveryMode: 'poll',
      },
      /for the grant type/,
    ],
  ])('is refused: %s', (_, input, reason) => {
    expect(() => defineClient({ ...DESK, ...input })).toThrow(reason);
  });
});
