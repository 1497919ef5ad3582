/**
 * Clients that nobody registers: their id is the https address of a document that describes them (OAuth Client ID
 * Metadata Document, draft-ietf-oauth-client-id-metadata-document). Whoever controls the address is the client.
 *
 * This folder owns no table: a document is kept in memory for as long as its host says, within bounds, by each process.
 * It holds that only hosts of the operator's choice are asked, over a guarded connection (platform/outgoing.ts), that
 * no request makes us ask more often than the limits say, and that a document is taken whole or not at all.
 *
 * The library has an experiment for the same. It is not used: it keeps documents for each set of keys anew, forgets no
 * failure, and asks whatever host it is told.
 */
import { currentUnitOfWork } from '../../audit/unit-of-work.ts';
import type { Clock } from '../../platform/clock.ts';
import { AppError } from '../../platform/errors.ts';
import { digest } from '../../platform/ids.ts';
import type { Outgoing, OutgoingAnswer } from '../../platform/outgoing.ts';
import { currentRequest } from '../../platform/request-context.ts';
import type { Client } from '../client.ts';
import type { RegistrationPolicy } from '../registration/policy.ts';
import { clientIdUrlFault, isHostPermitted, isUrlShaped } from './client-id-url.ts';
import { clientFrom, documentPolicy, freshSeconds, isPassing } from './document.ts';
import { createMinuteLimit } from './fetch-limits.ts';

/** Most documents have 1 KiB; with keys in it a few. */
export const MAX_DOCUMENT_BYTES = 16 * 1024;

const MAX_KEPT = 2_000;
const MAX_UNDER_WAY = 20;
const REFUSED_FOR_MS = 10_000;
const UNREACHABLE_FOR_MS = 5_000;
/** While its host is away a client goes on being what it was, for a day. */
const STALE_FOR_MS = 86_400_000;
const FETCHES_PER_HOST = 60;
const FETCHES_PER_ADDRESS = 60;

export interface ClientDocuments {
  /**
   * The client of that id: the same frozen object until its document changes.
   *
   * @returns undefined where the id is none that may be read, or its document is not what it should be: the audit log
   *   says why
   * @throws AppError `client_document_unreachable` (503) where it cannot be read at the moment; the log says why
   */
  find: (clientId: string) => Promise<Client | undefined>;
  /** As it was read the last time, however long ago; asks nobody. */
  known: (clientId: string) => Client | undefined;
}

type Kept = { untilMs: number; readAtMs: number } & (
  | { kind: 'client'; client: Client; digest: string }
  | { kind: 'refused'; reason: string }
  | { kind: 'unreachable' }
);

export function createClientDocuments({
  hosts,
  scopes,
  outgoing,
  outgoingToStrangers = outgoing,
  clock,
  isApi,
}: {
  /** Empty: there are no such clients. */
  hosts: readonly string[];
  scopes: RegistrationPolicy['scopes'];
  /** Reads at most `MAX_DOCUMENT_BYTES`. */
  outgoing: Pick<Outgoing, 'request'>;
  /** The same, for hosts that the operator has not named but as any. */
  outgoingToStrangers?: Pick<Outgoing, 'request'>;
  clock: Clock;
  /** An id that is an API's identifier would make ID tokens look like access tokens. */
  isApi: (identifier: string) => Promise<boolean>;
}): ClientDocuments {
  const policy = documentPolicy(scopes);
  const named = hosts.filter((host) => host !== '*');
  const kept = new Map<string, Kept>();
  const underWay = new Map<string, Promise<Kept>>();
  const mayAskHost = createMinuteLimit(FETCHES_PER_HOST);
  const mayAskForAddress = createMinuteLimit(FETCHES_PER_ADDRESS);

  const keep = (clientId: string, entry: Kept): Kept => {
    kept.delete(clientId);
    const oldest = kept.size >= MAX_KEPT ? kept.keys().next() : undefined;
    if (oldest && !oldest.done) kept.delete(oldest.value);
    kept.set(clientId, entry);
    return entry;
  };

  /** What the client was when it was last read, where that is not too long ago. */
  const former = (clientId: string): Kept | undefined => {
    const before = kept.get(clientId);
    const isUsable = before?.kind === 'client' && performance.now() - before.readAtMs < STALE_FOR_MS;
    return isUsable ? before : undefined;
  };

  const unreachable = (clientId: string): Kept => {
    const nowMs = performance.now();
    const before = former(clientId);
    if (before) return keep(clientId, { ...before, untilMs: nowMs + UNREACHABLE_FOR_MS });
    return keep(clientId, { kind: 'unreachable', untilMs: nowMs + UNREACHABLE_FOR_MS, readAtMs: nowMs });
  };

  const refused = (clientId: string, reason: string): Kept => {
    const nowMs = performance.now();
    return keep(clientId, { kind: 'refused', reason, untilMs: nowMs + REFUSED_FOR_MS, readAtMs: nowMs });
  };

  const take = (clientId: string, answer: OutgoingAnswer): Kept => {
    if (isPassing(answer)) return unreachable(clientId);
    const readAtMs = performance.now();
    const untilMs = readAtMs + freshSeconds(answer) * 1_000;
    const before = kept.get(clientId);
    const read = digest(
      'client-document',
      answer.headers['content-type'] ?? '',
      answer.body.toString('base64'),
    );
    if (answer.status === 200 && before?.kind === 'client' && before.digest === read) {
      return keep(clientId, { ...before, untilMs, readAtMs });
    }
    const client = deepFreeze(clientFrom(clientId, answer, { policy, now: clock.now() }));
    currentUnitOfWork()?.record({
      type: 'client.document_read',
      outcome: 'success',
      clientId,
      payload: { name: client.name, digest: read },
    });
    return keep(clientId, { kind: 'client', client, digest: read, untilMs, readAtMs });
  };

  const read = async (clientId: string): Promise<Kept> => {
    try {
      const headers = { accept: 'application/json' };
      const { request } = isHostPermitted(clientId, named) ? outgoing : outgoingToStrangers;
      return take(clientId, await request(clientId, { headers }));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (error.code === 'unreachable' || error.code === 'timed_out') return unreachable(clientId);
      return refused(clientId, error.message.slice(0, 300));
    }
  };

  const refuse = (clientId: string, reason: string): undefined => {
    // Lasting: where it ends as a 503, everything else that the request did is taken back.
    currentUnitOfWork()?.recordLasting({
      type: 'client.document_refused',
      outcome: 'failure',
      payload: { url: placeOf(clientId), reason },
    });
    return undefined;
  };

  /** One request for all who ask at the same time, and none beyond the limits. */
  const readOnce = (clientId: string): Promise<Kept> | Kept => {
    const same = underWay.get(clientId);
    if (same) return same;
    if (
      underWay.size >= MAX_UNDER_WAY ||
      !mayAskForAddress(currentRequest()?.ip ?? '') ||
      !mayAskHost(new URL(clientId).host)
    ) {
      // Else whoever invents ids at its host could keep a client out that we know.
      const before = former(clientId);
      if (before) return before;
      refuse(clientId, 'too many documents have been asked for within a minute');
      throw notNow();
    }
    const reading = read(clientId).finally(() => underWay.delete(clientId));
    underWay.set(clientId, reading);
    return reading;
  };

  return {
    known: (clientId) => {
      const entry = kept.get(clientId);
      return entry?.kind === 'client' ? entry.client : undefined;
    },

    find: async (clientId) => {
      if (hosts.length === 0 || !isUrlShaped(clientId)) return undefined;
      const fault = clientIdUrlFault(clientId);
      if (fault !== undefined) return refuse(clientId, fault);
      if (!isHostPermitted(clientId, hosts))
        return refuse(clientId, 'its host is not in registration.documentHosts');
      if (await isApi(clientId)) return refuse(clientId, 'an API is called that');
      const known = kept.get(clientId);
      const entry = known && known.untilMs > performance.now() ? known : await readOnce(clientId);
      if (entry.kind === 'client') return entry.client;
      if (entry.kind === 'refused') return refuse(clientId, entry.reason);
      refuse(clientId, 'its host cannot be reached');
      throw notNow();
    },
  };
}

/** For the record: what stands before the host or behind the path may be somebody's secret. */
function placeOf(clientId: string): string {
  if (!URL.canParse(clientId)) return 'not a URL';
  const { protocol, host, pathname } = new URL(clientId);
  return `${protocol}//${host}${pathname}`.slice(0, 500);
}

function notNow(): AppError {
  return new AppError(
    'client_document_unreachable',
    503,
    'The app’s own description cannot be read at this moment.',
    {
      retryAfterSeconds: 10,
    },
  );
}

/** Everybody shares it. */
function deepFreeze<T extends object>(value: T): T {
  if (value instanceof Date) return value;
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member as object);
  }
  return Object.freeze(value);
}
