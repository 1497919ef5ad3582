/**
 * Signing out in the browser (OIDC RP-Initiated Logout 1.0): what ends, what is recorded, and which applications the
 * browser itself is to load (OIDC Front-Channel Logout 1.0). The library ends the session and the grants bound to it;
 * offline grants end by the operator's policy. The record carries who is to be told, and the notices to their servers
 * are made from it (sign-out/).
 */
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { AccountService } from '../accounts/account.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import { needsSid } from '../clients/client.ts';
import type { ClientService } from '../clients/service.ts';
import type { Clock } from '../platform/clock.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import { authorizationsAtStart } from './session-saving.ts';
import type { OidcStore } from './store/port.ts';

/** A page of an application, to be loaded so that it forgets the person. */
export interface LogoutFrame {
  url: string;
  clientName: string;
}

export interface SignOutDependencies {
  issuer: string;
  accounts: Pick<AccountService, 'findBySub'>;
  clients: Pick<ClientService, 'findKnown'>;
  store: OidcStore;
  clock: Clock;
  endsOfflineGrants: boolean;
  sessionBoundSeconds: number;
  longestGrantSeconds: number;
  /** Once a sign-out is durable. */
  onSignOut: () => void;
}

export interface SignOutRecorder {
  bind: (provider: Provider) => void;
  /** Gathers the record of the sign-out that this request was, if it was one. @returns what the browser is to load */
  record: (ctx: KoaContextWithOIDC) => Promise<LogoutFrame[]>;
}

interface Ended {
  clientId: string;
  sid?: string;
  grantId?: string;
  isOffline: boolean;
}

/** More than anybody signs in to; the record stays bounded. */
const MAX_APPLICATIONS = 500;

export function createSignOutRecorder(dependencies: SignOutDependencies): SignOutRecorder {
  const { accounts, clients, store, clock } = dependencies;
  const done = new WeakSet<object>();
  const until = (seconds: number): Date => new Date(clock.now().getTime() + seconds * 1000);

  const endOfflineGrants = async (ended: readonly Ended[]): Promise<void> => {
    const unit = currentUnitOfWork();
    for (const { clientId, grantId, isOffline } of ended) {
      if (!isOffline || grantId === undefined) continue;
      const client = await clients.findKnown(clientId);
      if (!(client?.endsOfflineGrants ?? dependencies.endsOfflineGrants)) continue;
      unit?.revoke({
        kind: 'grant',
        id: grantId,
        reason: 'signed out',
        expiresAt: until(dependencies.longestGrantSeconds),
      });
      unit?.onCommit(() => store.destroy('Grant', grantId));
    }
  };

  const framesOf = async (ended: readonly Ended[]): Promise<LogoutFrame[]> => {
    const frames: LogoutFrame[] = [];
    for (const { clientId, sid } of ended) {
      const client = await clients.findKnown(clientId);
      if (client?.frontchannelLogoutUri === undefined) continue;
      const url = new URL(client.frontchannelLogoutUri);
      if (client.frontchannelLogoutSessionRequired && sid !== undefined) {
        url.searchParams.set('iss', dependencies.issuer);
        url.searchParams.set('sid', sid);
      }
      frames.push({ url: url.href, clientName: client.name });
    }
    return frames;
  };

  const record = async (ctx: KoaContextWithOIDC): Promise<LogoutFrame[]> => {
    const { session } = ctx.oidc;
    const unit = currentUnitOfWork();
    if (!session?.uid || !unit) return [];
    const isWhole = (session as { destroyed?: boolean }).destroyed === true;
    const asking = ctx.oidc.client?.clientId;
    const ended = endedIn(ctx).filter(({ clientId }) => isWhole || clientId === asking);
    if (!isWhole && ended.length === 0) return [];

    const sub = session.accountId;
    const account = sub === undefined ? undefined : await accounts.findBySub(sub);
    await endOfflineGrants(ended);
    if (isWhole) {
      unit.revoke({
        kind: 'session',
        id: session.uid,
        reason: 'signed out',
        expiresAt: until(dependencies.sessionBoundSeconds),
      });
    }
    unit.record({
      type: isWhole ? 'session.ended' : 'session.application_ended',
      outcome: 'success',
      sessionUid: session.uid,
      ...(account ? { accountId: account.id, actor: { kind: 'account', id: account.id } } : {}),
      ...(asking === undefined ? {} : { clientId: asking }),
      payload: {
        reason: 'signed_out',
        ...(sub === undefined ? {} : { sub }),
        applications: ended.slice(0, MAX_APPLICATIONS).map(toRecord),
      },
    });
    unit.onCommit(async () => dependencies.onSignOut());
    return framesOf(ended);
  };

  return {
    bind: (provider) => {
      provider.on('end_session.success', (ctx) => {
        done.add(ctx.req);
      });
    },
    record: async (ctx) => (done.has(ctx.req) ? orTemporarilyUnavailable(() => record(ctx)) : []),
  };
}

/** As the session was before the library took it apart. */
function endedIn(ctx: KoaContextWithOIDC): Ended[] {
  return Object.entries(authorizationsAtStart(ctx)).map(toEnded);
}

function toEnded([clientId, { sid, grantId, persistsLogout }]: [string, Record<string, unknown>]): Ended {
  return {
    clientId,
    isOffline: persistsLogout === true,
    ...(typeof sid === 'string' ? { sid } : {}),
    ...(typeof grantId === 'string' ? { grantId } : {}),
  };
}

function toRecord({ clientId, sid }: Ended): { client_id: string; sid?: string } {
  return { client_id: clientId, ...(sid === undefined ? {} : { sid }) };
}

/** `sid` goes into the ID tokens of every client that will be told of sign-outs by it. */
export function putSidIntoIdTokens(
  provider: Provider,
  clientOf: (providerClient: object) => Parameters<typeof needsSid>[0] | undefined,
): void {
  const prototype = provider.Client.prototype as unknown as { includeSid: (this: object) => boolean };
  prototype.includeSid = function includeSid() {
    const client = clientOf(this);
    return client !== undefined && needsSid(client);
  };
}
