/**
 * Who may answer what a client asked without the person's browser (OpenID CIBA Core 1.0 §8): only the person whom it
 * asked, signed in as the client and the request want it, by the same rules as at the authorization endpoint
 * (requirements.ts, policy.ts).
 */
import type { Provider } from 'oidc-provider';

import type { Account, AccountService } from '../accounts/account.ts';
import type { FactorService } from '../accounts/factors.ts';
import type { ApprovalRequest } from '../approvals/approval.ts';
import type { ApprovalService } from '../approvals/service.ts';
import type { Api, Permission } from '../apis/api.ts';
import { consentKey, type RevocationList } from '../audit/revocations.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Client } from '../clients/client.ts';
import { type Clock, epochSeconds } from '../platform/clock.ts';
import { digest } from '../platform/ids.ts';
import type { RbacService, Role } from '../rbac/role.ts';
import type { Exchange } from './interactions.ts';
import { secondFactorDue } from './requirements.ts';

/** Who is signed in in this browser. */
export interface Visitor {
  account: Account;
  sessionUid: string;
  acr?: string;
  amr?: string[];
  /** Of the sign-in, in seconds since the epoch. */
  authTime: number;
}

/** What stands between the visitor and an approval. */
export type Obstacle =
  /** A sign-in with more, or a newer one, and they may approve. */
  { kind: 'sign-in'; acr?: 'aal2'; isAnew?: true } | { kind: 'role-missing'; role: string };

export interface WaitingApproval {
  id: string;
  client: Client;
  bindingMessage?: string;
  scopes: string[];
  apis: { identifier: string; name: string; permissions: Permission[] }[];
  createdAt: Date;
  expiresAt: Date;
  obstacle?: Obstacle;
}

export type Answer =
  | { kind: 'done'; client: Client }
  | { kind: 'obstacle'; obstacle: Obstacle }
  /** Decided before, over, somebody else's, or never there. */
  | { kind: 'gone' };

export interface ApprovalDesk {
  /** Undefined where nobody is, or somebody without the second factor that they have, or must have. */
  visitorOf: (exchange: Exchange & { secure: boolean }) => Promise<Visitor | undefined>;
  waitingFor: (visitor: Visitor) => Promise<WaitingApproval[]>;
  approve: (visitor: Visitor, id: string) => Promise<Answer>;
  deny: (visitor: Visitor, id: string) => Promise<Answer>;
}

export interface ApprovalDeskDependencies {
  provider: () => Provider;
  approvals: ApprovalService;
  accounts: Pick<AccountService, 'findBySub'>;
  factors: Pick<FactorService, 'hasTotp'>;
  rbac: Pick<RbacService, 'rolesOf'>;
  clients: { find: (clientId: string) => Promise<Client | undefined> };
  apis: { find: (identifier: string) => Promise<Api | undefined> };
  revocations: Pick<RevocationList, 'isRevoked'>;
  clock: Clock;
  isMfaRequired: boolean;
}

export function createApprovalDesk(dependencies: ApprovalDeskDependencies): ApprovalDesk {
  const { provider, approvals, accounts, factors, rbac, clients, apis, revocations, clock } = dependencies;

  const factorDue = async (
    { account, acr, roles }: { account: Account; acr?: string | undefined; roles: readonly Role[] },
    {
      acrValues = [],
      clientRequires = false,
    }: { acrValues?: readonly string[]; clientRequires?: boolean } = {},
  ): Promise<boolean> => {
    const reason = secondFactorDue({
      acr,
      acrValues,
      clientRequires,
      isEnrolled: await factors.hasTotp(account.id),
      accountRequires: dependencies.isMfaRequired || roles.some(({ requiresMfa }) => requiresMfa),
    });
    return reason !== undefined;
  };

  const obstacleFor = async (
    { account, acr, authTime }: Visitor,
    { asked, createdAt }: ApprovalRequest,
    client: Client,
  ): Promise<Obstacle | undefined> => {
    const roles = await rbac.rolesOf(account.id);
    const { requireRole: role, requireMfa: clientRequires } = client;
    if (role !== undefined && !roles.some(({ name }) => name === role)) return { kind: 'role-missing', role };
    const isFactorDue = await factorDue(
      { account, acr, roles },
      { acrValues: asked.acrValues, clientRequires },
    );
    const { maxAgeSeconds } = asked;
    // A sign-in after the request came is as new as any can be.
    const isOld =
      maxAgeSeconds !== undefined &&
      epochSeconds(clock) - authTime > maxAgeSeconds &&
      authTime < Math.floor(createdAt.getTime() / 1000);
    if (!isFactorDue && !isOld) return undefined;
    return {
      kind: 'sign-in',
      ...(isFactorDue ? { acr: 'aal2' } : {}),
      ...(isOld ? { isAnew: true } : {}),
    };
  };

  const apisOf = async ({ asked }: ApprovalRequest): Promise<WaitingApproval['apis']> => {
    const named = await Promise.all(
      Object.entries(asked.permissions).map(async ([identifier, names]) => {
        const api = await apis.find(identifier);
        const permissions = api?.permissions.filter(({ name }) => names.includes(name)) ?? [];
        return api && permissions.length > 0 ? [{ identifier, name: api.name, permissions }] : [];
      }),
    );
    return named.flat();
  };

  /** A client that is told to wait for nothing is not shown: what ended the account's sign-ins ended these too. */
  const findWaiting = async ({
    account,
  }: Visitor): Promise<{ request: ApprovalRequest; client: Client }[]> => {
    const found = await Promise.all(
      (await approvals.waitingFor(account.id)).map(async (request) => {
        const { clientId, createdAt: issuedAt } = request;
        const consent = consentKey({ sub: account.sub, clientId });
        const isDead = revocations.isRevoked({ accountId: account.sub, consent, issuedAt });
        const client = isDead ? undefined : await clients.find(request.clientId);
        return client ? [{ request, client }] : [];
      }),
    );
    return found.flat();
  };

  const present = async (
    visitor: Visitor,
    { request, client }: { request: ApprovalRequest; client: Client },
  ): Promise<WaitingApproval> => {
    const obstacle = await obstacleFor(visitor, request, client);
    return {
      id: request.id,
      client,
      scopes: request.asked.scopes,
      apis: await apisOf(request),
      createdAt: request.createdAt,
      expiresAt: request.expiresAt,
      ...(request.bindingMessage === undefined ? {} : { bindingMessage: request.bindingMessage }),
      ...(obstacle ? { obstacle } : {}),
    };
  };

  const findOne = async (visitor: Visitor, id: string) =>
    (await findWaiting(visitor)).find(({ request }) => request.id === id);

  const refuse = (visitor: Visitor, id: string, reason: string, client?: Client, role?: string): void => {
    currentUnitOfWork()?.record({
      type: 'approval.refused',
      outcome: 'failure',
      actor: { kind: 'account', id: visitor.account.id },
      accountId: visitor.account.id,
      sessionUid: visitor.sessionUid,
      ...(client ? { clientId: client.clientId } : {}),
      payload: { request: id.slice(0, 100), reason, ...(role === undefined ? {} : { required_role: role }) },
    });
  };

  const gone = (visitor: Visitor, id: string): Answer => {
    refuse(visitor, id, 'decided, expired, or not of this person');
    return { kind: 'gone' };
  };

  return {
    visitorOf: async ({ req, res, secure }) => {
      const session = await provider().Session.get({ req, res, secure } as never);
      const { accountId, uid, loginTs, acr, amr } = session as unknown as {
        accountId?: string;
        uid: string;
        loginTs?: number;
        acr?: string;
        amr?: string[];
      };
      const account = accountId === undefined ? undefined : await accounts.findBySub(accountId);
      if (!account || account.disabledAt || loginTs === undefined) return undefined;
      // Half way through a sign-in the session has its account, and what comes next has not been shown yet.
      const roles = await rbac.rolesOf(account.id);
      if (await factorDue({ account, acr, roles })) return undefined;
      return {
        account,
        sessionUid: uid,
        authTime: loginTs,
        ...(acr === undefined ? {} : { acr }),
        ...(amr === undefined ? {} : { amr }),
      };
    },

    waitingFor: async (visitor) =>
      Promise.all((await findWaiting(visitor)).map((waiting) => present(visitor, waiting))),

    approve: async (visitor, id) => {
      const found = await findOne(visitor, id);
      if (!found) return gone(visitor, id);
      const { request, client } = found;
      const obstacle = await obstacleFor(visitor, request, client);
      if (obstacle) {
        if (obstacle.kind === 'role-missing') refuse(visitor, id, 'role_missing', client, obstacle.role);
        else refuse(visitor, id, 'a stronger or newer sign-in is needed', client);
        return { kind: 'obstacle', obstacle };
      }
      const { account, sessionUid, authTime, acr, amr } = visitor;
      const approved = await approvals.approve({
        id,
        accountId: account.id,
        authority: {
          // A grant of its own: what is approved here is not what the browser's sign-ins at that client may do.
          grantId: digest('grant', 'approval', id),
          sessionUid,
          authTime,
          ...(acr === undefined ? {} : { acr }),
          ...(amr === undefined ? {} : { amr }),
        },
      });
      return approved ? { kind: 'done', client } : gone(visitor, id);
    },

    deny: async (visitor, id) => {
      const found = await findOne(visitor, id);
      const { account, sessionUid } = visitor;
      const denied = found && (await approvals.deny({ id, accountId: account.id, sessionUid }));
      return denied ? { kind: 'done', client: found.client } : gone(visitor, id);
    },
  };
}
