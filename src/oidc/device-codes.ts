/**
 * What happens to a device code (RFC 8628) until it is redeemed: it is made, claimed by one browser, and approved or
 * declined, once. Each of these is a compare-and-set in the store, confirmed by PostgreSQL, and an approval is durable
 * before the code says so: a device that asks at that very moment gets nothing that has no record (promise 1).
 *
 * Elsewhere: how often a device may ask (polling.ts), redeeming (adapter.ts, like any code), typing the user code
 * (device-entry.ts).
 */
import { type AdapterPayload, errors, Provider } from 'oidc-provider';

import { isRevokedConflict, isSpendConflict } from '../audit/errors.ts';
import { currentUnitOfWork, type UnitOfWork } from '../audit/unit-of-work.ts';
import { digest, randomToken } from '../platform/ids.ts';
import { temporarilyUnavailable } from './errors.ts';
import { requireConsent } from './grants.ts';
import type { OidcStore, StoredPayload } from './store/port.ts';

/** For so long after its end a code is told as `expired_token` (RFC 8628 §3.5), not as one that never was. */
const KEPT_AFTER_EXPIRY_SECONDS = 600;

/** What became of a request, rather than what a person decided: the code stays as it was, and they may try again. */
const FAULTS: ReadonlySet<unknown> = new Set(['server_error', 'temporarily_unavailable']);

/** The code belongs to another browser by now, or was decided. */
export class DeviceCodeTaken extends errors.InvalidRequest {
  constructor() {
    super('the code was already used');
  }
}

export interface DeviceCodeDependencies {
  store: OidcStore;
  fingerprint: (secret: string) => string;
}

/** The adapter's `upsert` for device codes. */
export function createDeviceCodeSaving({ store, fingerprint }: DeviceCodeDependencies) {
  const write = (code: string, payload: StoredPayload, ttlSeconds: number): Promise<void> =>
    store.upsert('DeviceCode', code, payload, ttlSeconds + KEPT_AFTER_EXPIRY_SECONDS);

  /** @throws DeviceCodeTaken unless this is the first browser to do so with this code */
  const once = async (
    what: 'claim' | 'decision',
    code: string,
    expiresAt: Date,
  ): Promise<() => Promise<void>> => {
    const unit = requireUnit();
    const key = digest('device', what, code);
    const spender = randomToken(16);
    const undo = (): Promise<void> => store.unmark(key, spender);
    // Before the mark: a store that falls silent may set it after we have given up.
    unit.onRollback(undo);
    const ttlSeconds =
      Math.max(1, Math.ceil((expiresAt.getTime() - Date.now()) / 1000)) + KEPT_AFTER_EXPIRY_SECONDS;
    if (!(await store.markOnce(key, spender, ttlSeconds))) throw new DeviceCodeTaken();
    unit.spend({ kind: `device_code_${what}`, digest: key, expiresAt });
    return undo;
  };

  const start = async (code: string, payload: AdapterPayload, ttlSeconds: number): Promise<void> => {
    const unit = requireUnit();
    unit.onRollback(() => store.destroy('DeviceCode', code));
    unit.record({
      type: 'device.started',
      outcome: 'success',
      ...subjectOf(payload),
      payload: {
        // As the device asked for it, which may be anything; what it gets is recorded with the approval.
        scope: textOf((payload['params'] as { scope?: unknown } | undefined)?.scope).slice(0, 1000),
        issued: [
          {
            kind: 'device_code',
            fingerprint: fingerprint(code),
            expires_at: expiryOf(payload).toISOString(),
          },
        ],
      },
    });
    await write(code, payload, ttlSeconds);
  };

  const decide = async (code: string, payload: AdapterPayload, ttlSeconds: number): Promise<void> => {
    const unit = requireUnit();
    const reopen = await once('decision', code, expiryOf(payload));
    if (payload['error'] === undefined) recordApproval(unit, payload, fingerprint(code));
    else recordRefusal(unit, payload, fingerprint(code));
    await commit(unit);
    try {
      await write(code, payload, ttlSeconds);
    } catch (error) {
      // On record, and without effect: the device waits on, and the person who tries again is not told that they did.
      await reopen().catch(() => undefined);
      throw error;
    }
  };

  /** A browser that came half way may begin again: its session is kept with the code. */
  const claim = async (code: string, payload: AdapterPayload, ttlSeconds: number): Promise<void> => {
    const sessionUid = Provider.ctx?.oidc.session?.uid;
    if (payload['sessionUid'] === undefined || payload['sessionUid'] !== sessionUid) {
      await once('claim', code, expiryOf(payload));
    }
    return write(code, { ...payload, sessionUid }, ttlSeconds);
  };

  return async (code: string, payload: AdapterPayload, ttlSeconds: number): Promise<void> => {
    if (Provider.ctx?.oidc.route === 'device_authorization') return start(code, payload, ttlSeconds);
    if (FAULTS.has(payload['error'])) return undefined;
    if (payload['error'] !== undefined || payload.accountId !== undefined)
      return decide(code, payload, ttlSeconds);
    return claim(code, payload, ttlSeconds);
  };
}

function recordApproval(unit: UnitOfWork, payload: AdapterPayload, fingerprint: string): void {
  const account = Provider.ctx?.oidc.entities.Account as { id?: string } | undefined;
  unit.requireLive({
    ...(payload.grantId === undefined ? {} : { grantId: payload.grantId }),
    ...(typeof payload['sessionUid'] === 'string' ? { sessionUid: payload['sessionUid'] } : {}),
    ...(payload.accountId === undefined ? {} : { accountId: payload.accountId }),
    issuedAt: new Date(Number(payload['authTime'] ?? payload.iat) * 1000),
  });
  requireConsent(Provider.ctx?.oidc.entities.Grant ?? {}, unit);
  unit.record({
    type: 'device.approved',
    outcome: 'success',
    ...subjectOf(payload),
    ...(account?.id === undefined
      ? {}
      : { accountId: account.id, actor: { kind: 'account' as const, id: account.id } }),
    payload: {
      scope: payload.scope ?? '',
      fingerprint,
      ...(typeof payload['sid'] === 'string' ? { sid: payload['sid'] } : {}),
    },
  });
}

function recordRefusal(unit: UnitOfWork, payload: AdapterPayload, fingerprint: string): void {
  const account = Provider.ctx?.oidc.entities.Account as { id?: string } | undefined;
  const reason = [payload['error'], payload['errorDescription']]
    .filter((it) => typeof it === 'string')
    .join(': ');
  unit.record({
    type: 'device.declined',
    outcome: 'failure',
    ...subjectOf(payload),
    ...(account?.id === undefined ? {} : { accountId: account.id }),
    payload: { reason: reason.slice(0, 300), fingerprint },
  });
}

/** @throws what the library knows how to tell */
async function commit(unit: UnitOfWork): Promise<void> {
  try {
    await unit.commit();
  } catch (error) {
    if (isSpendConflict(error)) throw new DeviceCodeTaken();
    if (isRevokedConflict(error)) throw new errors.AccessDenied('the session has ended; start again');
    throw temporarilyUnavailable(error);
  }
}

function subjectOf(payload: AdapterPayload): { clientId?: string; grantId?: string; sessionUid?: string } {
  const { clientId, grantId } = payload;
  const sessionUid = payload['sessionUid'];
  return {
    ...(clientId === undefined ? {} : { clientId }),
    ...(grantId === undefined ? {} : { grantId }),
    ...(typeof sessionUid === 'string' ? { sessionUid } : {}),
  };
}

function expiryOf(payload: AdapterPayload): Date {
  return new Date(Number(payload.exp) * 1000);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function requireUnit(): UnitOfWork {
  const unit = currentUnitOfWork();
  if (!unit) throw new Error('a device code changes in a unit of work: nothing may happen without a record');
  return unit;
}
