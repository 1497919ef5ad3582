import type { Context } from 'koa';

import type { Client } from '../clients/client.ts';
import type { Renderer } from '../http/render.ts';
import type { AccountFrame } from '../http/views/account.ts';
import type { ApprovalDesk, Visitor } from '../oidc/approval-desk.ts';
import type { FindLiveSession } from '../oidc/live-sessions.ts';
import type { ConsentService } from '../oidc/withdrawal.ts';
import type { Clock } from '../platform/clock.ts';

interface Person {
  id: string;
  sub: string;
}

type By = { kind: 'account'; id: string };

/** What the subject `sign-out` does, as far as people may do it to themselves. */
export interface OwnSignOut {
  list: (
    person: Person,
  ) => Promise<{ sessionUid: string; clientId: string; isLeft: boolean; isWithdrawn: boolean }[]>;
  everywhere: (person: Person, by: By) => Promise<object>;
  session: (person: Person, sessionUid: string, by: By) => Promise<object>;
  application: (
    person: Person,
    clientId: string,
    by: By,
  ) => Promise<{ applications: number; offlineGrants: number }>;
}

export interface AccountDoor {
  desk: ApprovalDesk;
  signOut: OwnSignOut;
  findLiveSession: FindLiveSession;
  findClient: (clientId: string) => Promise<Client | undefined>;
  consents: ConsentService;
  rolesOf: (accountId: string) => Promise<string[]>;
  renderer: Renderer;
  issuer: string;
  /** The issuer's path without a trailing slash: '' or '/auth'. */
  issuerPath: string;
  isHttps: boolean;
  clock: Clock;
  /** How long a person may take to sign in. */
  interactionTtlSeconds: number;
}

/** One request of somebody who is signed in. */
export interface Visit {
  ctx: Context;
  door: AccountDoor;
  visitor: Visitor;
}

/** The pages of an account; the first is where people come out who asked for none of them. */
export const ACCOUNT_PAGES = ['approvals', 'applications', 'sessions'] as const;
export type AccountPage = (typeof ACCOUNT_PAGES)[number];

/** What every page of the account shows around its own. */
export function frameOf({ door, visitor }: Visit, current: AccountPage): AccountFrame {
  const { issuerPath } = door;
  return {
    accountEmail: visitor.account.email,
    navigation: [
      {
        href: `${issuerPath}/account/approvals`,
        label: 'Requests',
        isCurrent: current === 'approvals',
      },
      {
        href: `${issuerPath}/account/applications`,
        label: 'Apps',
        isCurrent: current === 'applications',
      },
      {
        href: `${issuerPath}/account/sessions`,
        label: 'Sign-ins',
        isCurrent: current === 'sessions',
      },
      { href: `${issuerPath}/oauth/logout`, label: 'Sign out', isCurrent: false },
    ],
  };
}
