/** A device without a browser (RFC 8628), by hand: for races and attacks. */
import { DEVICE_CODE_GRANT } from '../../src/clients/client.ts';
import type { NewClient } from '../../src/clients/service.ts';
import { type Application, basicOf, registerApplication, tokenRequest } from './application.ts';
import type { TestServer } from './gatehouse.ts';
import type { Person, Visited } from './person.ts';

type Issuer = Pick<TestServer, 'issuer'>;

export interface StartedDevice {
  device_code: string;
  user_code: string;
  verification_uri: string;
  verification_uri_complete: string;
  expires_in: number;
  interval: number;
}

export function registerDevice(
  server: Pick<TestServer, 'subjects'>,
  input: Partial<NewClient> = {},
): Promise<Application> {
  return registerApplication(server, {
    name: 'Living-room TV',
    redirectUris: [],
    grantTypes: [DEVICE_CODE_GRANT, 'refresh_token'],
    ...input,
  });
}

export function requestDeviceCode(
  { issuer }: Issuer,
  application: Application,
  parameters: Record<string, string> = {},
): Promise<Response> {
  const body = new URLSearchParams({
    ...(application.secret === undefined ? { client_id: application.clientId } : {}),
    scope: 'openid offline_access',
    ...parameters,
  });
  return fetch(`${issuer}/oauth/device_authorization`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(application.secret === undefined ? {} : { authorization: basicOf(application) }),
    },
    body,
  });
}

export async function startDevice(
  server: Issuer,
  application: Application,
  parameters: Record<string, string> = {},
): Promise<StartedDevice> {
  const response = await requestDeviceCode(server, application, parameters);
  if (response.status !== 200)
    throw new Error(`the device was answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as StartedDevice;
}

export function pollDevice(
  server: Issuer,
  application: Application,
  deviceCode: string,
  init: RequestInit = {},
): Promise<Response> {
  return tokenRequest(server, application, { grant_type: DEVICE_CODE_GRANT, device_code: deviceCode }, init);
}

/** Types the code, up to the page that asks whether it is the right one. */
export async function enterCode(person: Person, server: Issuer, userCode: string): Promise<Visited> {
  const page = await person.open(`${server.issuer}/device`);
  return person.submit(page, { user_code: userCode }, '/device');
}

/** From the code to the last page, with the password typed where it is asked for and consent given. */
export async function approve(
  person: Person,
  server: Issuer,
  userCode: string,
  credentials?: { email: string; password: string },
): Promise<Visited> {
  let page = await person.submit(await enterCode(person, server, userCode), { confirm: 'yes' }, '/device');
  if (credentials && page.html.includes('name="password"')) {
    const { email: identifier, password } = credentials;
    page = await person.submit(page, { identifier, password }, '/login');
  }
  if (page.html.includes('name="decision"')) {
    page = await person.submit(page, { decision: 'allow' }, '/consent');
  }
  return page;
}
