/** The two demo applications as data: what they are, and what the issuer must know to register them as clients. */

export interface DemoPorts {
  ledger: number;
  atlas: number;
}

export interface DemoClient {
  clientId: string;
  name: 'Ledger' | 'Atlas';
  accent: 'ledger' | 'atlas';
  /** What it pretends to be for. */
  description: string;
  port: number;
  /** Scheme, host and port: another site than an issuer on `localhost`. */
  origin: string;
  redirectUri: string;
  postLogoutRedirectUri: string;
  clientUri: string;
  initiateLoginUri: string;
  /** What it asks for at each sign-in, and all that it may ask for. */
  scopes: string[];
}

const PEOPLE_SCOPES = ['openid', 'profile', 'email', 'roles'];

/**
 * Ledger asks for `offline_access` and goes on refreshing after the person has left; Atlas does not, so its tokens end
 * with the session at the issuer.
 *
 * @param ports where they listen, on 127.0.0.1
 */
export function demoClients(ports: DemoPorts): DemoClient[] {
  return [
    {
      clientId: 'demo-ledger',
      name: 'Ledger',
      accent: 'ledger',
      description: 'Invoices and bookkeeping',
      scopes: [...PEOPLE_SCOPES, 'offline_access'],
      ...addressesAt(ports.ledger),
    },
    {
      clientId: 'demo-atlas',
      name: 'Atlas',
      accent: 'atlas',
      description: 'Maps of what is where',
      scopes: [...PEOPLE_SCOPES],
      ...addressesAt(ports.atlas),
    },
  ];
}

type Addresses = Pick<
  DemoClient,
  'port' | 'origin' | 'redirectUri' | 'postLogoutRedirectUri' | 'clientUri' | 'initiateLoginUri'
>;

function addressesAt(port: number): Addresses {
  const origin = `http://127.0.0.1:${port}`;
  return {
    port,
    origin,
    redirectUri: `${origin}/callback`,
    postLogoutRedirectUri: `${origin}/signed-out`,
    clientUri: `${origin}/`,
    initiateLoginUri: `${origin}/login`,
  };
}
