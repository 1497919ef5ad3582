import type { Context } from 'koa';

import type { Renderer } from '../http/render.ts';
import type { AccountFrame } from '../http/views/account.ts';
import type { ApprovalDesk, Visitor } from '../oidc/approval-desk.ts';
import type { Clock } from '../platform/clock.ts';

export interface AccountDoor {
  desk: ApprovalDesk;
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

/** What every page of the account shows around its own. */
export function frameOf({ door, visitor }: Visit, current: 'approvals'): AccountFrame {
  const { issuerPath } = door;
  return {
    accountEmail: visitor.account.email,
    navigation: [
      {
        href: `${issuerPath}/account/approvals`,
        label: 'Requests',
        isCurrent: current === 'approvals',
      },
      { href: `${issuerPath}/oauth/logout`, label: 'Sign out', isCurrent: false },
    ],
  };
}
