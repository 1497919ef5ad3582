/**
 * Clients that register themselves (RFC 7591) and look after what they registered (RFC 7592).
 *
 * This folder owns the tables `registration_tokens` and `client_registrations`. It holds that such a client is what a
 * policy allows and never more, that it is third-party and people are asked, that an initial access token registers no
 * more clients than it has uses, and that a client manages itself alone.
 *
 * Elsewhere: the endpoint (endpoints/registration.ts), clients that are described by a document (documents/).
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';

import { appendInTransaction } from '../../audit/append.ts';
import type { Actor } from '../../audit/events.ts';
import { afterSecondOf, insertRevocation } from '../../audit/revocations.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queryable } from '../../platform/database.ts';
import { AppError } from '../../platform/errors.ts';
import { digest, randomToken } from '../../platform/ids.ts';
import { hasSecret, type Client, type ClientDefinition, type IdTokenAlg } from '../client.ts';
import { changeDefinition, changedProperties, defineClient, type DefinitionChanges } from '../definition.ts';
import { deleteInTransaction } from '../deletion.ts';
import { responseSigningAlgs } from '../message-options.ts';
import { generateSecret, hashSecret, verifySecret } from '../secrets.ts';
import type { ClientService } from '../service.ts';
import { deleteSecrets, findClient, insertClient, insertSecret, lockClient, updateClient } from '../store.ts';
import { definitionFrom, REGISTRABLE_OPTIONS } from './metadata.ts';
import type { RegistrationPolicy } from './policy.ts';
import {
  countRegistrations,
  findRegistration,
  forgetConsents,
  insertRegistration,
  isUnusedSince,
  replaceAccess,
  unusedSince,
  type Registration,
} from './store.ts';
import { findLiveToken, policyOf, spendUse } from './tokens.ts';

const BATCH_CLIENTS = 100;

/** What the client is told now and never again. */
export interface Registered {
  client: Client;
  /** Of its own, to look after its registration with (RFC 7592 §3). */
  accessToken: string;
  /** Where it has one, and it is new. */
  secret?: string;
}

/** What a client that is registered may not say about itself anew (RFC 7592 §2.2). */
const TOLD_BY_US = [
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
];

export interface RegistrationService {
  /**
   * @param initialToken what was presented; absent is anybody
   * @throws AppError `invalid_token` (401), `invalid_redirect_uri`, `invalid_client_metadata`,
   *   `unapproved_software_statement` (400), `too_many_clients` (503)
   */
  register: (metadata: unknown, initialToken: string | undefined) => Promise<Registered>;
  /** @throws AppError `invalid_token` (401) */
  read: (clientId: string, accessToken: string) => Promise<Client>;
  /**
   * What is left out is taken back (RFC 7592 §2.2). The access token is replaced. Where people are sent to an address
   * that was not registered before, all that they let the client do ends. @throws as both above
   */
  replace: (clientId: string, accessToken: string, metadata: unknown) => Promise<Registered>;
  /** @throws AppError `invalid_token` (401) */
  remove: (clientId: string, accessToken: string) => Promise<void>;
  /** Deletes those that nobody has used for so long. @returns how many */
  removeUnused: (unusedSeconds: number) => Promise<number>;
}

export function createRegistrationService({
  db,
  clock,
  inChange,
  idTokenAlgs,
  openPolicy,
  maxClients,
  longestTokenSeconds,
}: {
  db: Database;
  clock: Clock;
  inChange: ClientService['inChange'];
  idTokenAlgs: readonly IdTokenAlg[];
  /** For whoever has no token; absent where one is needed. */
  openPolicy: RegistrationPolicy | undefined;
  maxClients: number;
  longestTokenSeconds: number;
}): RegistrationService {
  const reread = async (tx: Queryable, clientId: string): Promise<Client> => {
    const client = await findClient(tx, clientId);
    if (!client) throw new Error('a client that was just written is not there');
    return client;
  };
  const define = (build: () => ClientDefinition): ClientDefinition => {
    const definition = inRegisteredWords(build);
    const alg = responseSigningAlgs(definition).find(
      (one) => !(idTokenAlgs as readonly string[]).includes(one),
    );
    if (alg === undefined) return definition;
    throw new AppError(
      'invalid_client_metadata',
      400,
      `There is no key for ${alg}; choose what is signed for the client from ${idTokenAlgs.join(', ')}.`,
    );
  };
  /** The registration, if it is this client's own token that was presented. */
  const authenticate = async (clientId: string, accessToken: string): Promise<Registration> => {
    const registration = await findRegistration(db, clientId);
    const presented = Buffer.from(accessDigestOf(accessToken));
    // Compared in any case: whether there is such a client shows neither in the answer nor in its time.
    const isItsOwn = timingSafeEqual(
      presented,
      Buffer.from(registration?.accessDigest ?? accessDigestOf('')),
    );
    if (!registration) throw notItsOwn('no such client, or one that did not register itself');
    if (!isItsOwn) throw notItsOwn('the registration access token is not the client’s, or not any more');
    return registration;
  };
  const policyFor = async ({ tokenId }: Registration): Promise<RegistrationPolicy> => {
    if (tokenId !== undefined) return policyOf(db, tokenId);
    if (openPolicy) return openPolicy;
    throw new AppError(
      'invalid_client_metadata',
      400,
      'Registration without a token is closed here, and with it the changes to what was registered so.',
    );
  };
  const addSecret = async (
    tx: Queryable,
    client: ClientDefinition,
    clientId: string,
  ): Promise<string | undefined> => {
    if (!hasSecret(client)) return undefined;
    const secret = generateSecret();
    await insertSecret(tx, clientId, hashSecret(secret, clock.now()));
    return secret;
  };

  /**
   * It sends people elsewhere now: what they let it do, they let another one do.
   *
   * @returns up to when everything that it was given has ended
   */
  const startOver = async (tx: Queryable, clientId: string): Promise<Date> => {
    await forgetConsents(tx, clientId);
    const before = clock.now();
    await insertRevocation(tx, {
      kind: 'client',
      id: clientId,
      before,
      expiresAt: new Date(before.getTime() + longestTokenSeconds * 1_000),
      reason: 'the client sends people elsewhere',
    });
    return before;
  };

  return {
    register: async (metadata, initialToken) => {
      const now = clock.now();
      if (initialToken === undefined && !openPolicy) throw tokenNeeded();
      const token = initialToken === undefined ? undefined : await findLiveToken(db, initialToken, now);
      const policy = token?.policy ?? openPolicy!;
      const definition = define(() => defineClient(definitionFrom(metadata, policy)));
      const clientId = randomBytes(16).toString('hex');
      const accessToken = randomToken();
      return inChange(async (tx) => {
        if (token) await spendUse(tx, token, now);
        if ((await countRegistrations(tx, maxClients)) >= maxClients) throw tooMany(maxClients);
        await insertClient(tx, clientId, definition, now);
        const secret = await addSecret(tx, definition, clientId);
        await insertRegistration(
          tx,
          { clientId, accessDigest: accessDigestOf(accessToken), ...(token && { tokenId: token.id }) },
          now,
        );
        await appendInTransaction(
          tx,
          {
            type: 'client.registered',
            outcome: 'success',
            actor: { kind: 'client', id: clientId },
            clientId,
            payload: {
              name: definition.name,
              kind: definition.kind,
              redirect_uris: [...definition.redirectUris],
              ...(token && { token_id: token.id }),
            },
          },
          { clock },
        );
        return { client: await reread(tx, clientId), accessToken, ...(secret !== undefined && { secret }) };
      });
    },

    read: async (clientId, accessToken) => {
      await authenticate(clientId, accessToken);
      return (await findClient(db, clientId)) ?? notThere();
    },

    replace: async (clientId, presented, metadata) => {
      const registration = await authenticate(clientId, presented);
      const policy = await policyFor(registration);
      const accessToken = randomToken();
      const { endedAt, ...replaced } = await inChange(async (tx) => {
        const before = (await lockClient(tx, clientId)) ?? notThere();
        const isFirst = await replaceAccess(tx, {
          clientId,
          before: registration.accessDigest,
          after: accessDigestOf(accessToken),
        });
        if (!isFirst) throw notItsOwn('the registration access token was replaced a moment ago');
        checkIdentity(metadata, before, clock.now());
        const after = define(() => {
          const asked = defineClient(definitionFrom(metadata, policy, { kind: before.kind }));
          keepSector(before, asked);
          return changeDefinition(before, changesTo(asked));
        });
        const changed = changedProperties(before, { ...before, ...after });
        await updateClient(tx, clientId, after, clock.now());
        const isElsewhere = after.redirectUris.some((uri) => !before.redirectUris.includes(uri));
        const endedAt = isElsewhere ? await startOver(tx, clientId) : undefined;
        if (!hasSecret(after)) await deleteSecrets(tx, clientId);
        const secret = before.secrets.length === 0 ? await addSecret(tx, after, clientId) : undefined;
        await appendInTransaction(
          tx,
          {
            type: 'client.updated',
            outcome: 'success',
            actor: { kind: 'client', id: clientId },
            clientId,
            payload: { changed },
          },
          { clock },
        );
        const client = await reread(tx, clientId);
        return { client, accessToken, endedAt, ...(secret !== undefined && { secret }) };
      });
      // What it is given in this very second would end too: it learns of the change when that is over.
      await afterSecondOf(endedAt, clock);
      return replaced;
    },

    remove: async (clientId, accessToken) => {
      await authenticate(clientId, accessToken);
      await inChange(async (tx) => {
        const client = (await lockClient(tx, clientId)) ?? notThere();
        await deleteInTransaction(tx, client, {
          by: { kind: 'client', id: clientId },
          clock,
          longestTokenSeconds,
        });
      });
    },

    removeUnused: async (unusedSeconds) => {
      const since = new Date(clock.now().getTime() - unusedSeconds * 1_000);
      const clientIds = await unusedSince(db, since, BATCH_CLIENTS);
      for (const clientId of clientIds) {
        await inChange(async (tx) => {
          const client = await lockClient(tx, clientId);
          // Another process was quicker, or somebody came back.
          if (!client || !(await isUnusedSince(tx, clientId, since))) return;
          const by: Actor = { kind: 'system', name: 'unused clients' };
          await deleteInTransaction(tx, client, { by, reason: 'unused', clock, longestTokenSeconds });
        });
      }
      return clientIds.length;
    },
  };
}

/** The rules for all clients speak of `invalid_client`, which at a registration endpoint is another error. */
function inRegisteredWords(build: () => ClientDefinition): ClientDefinition {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid_client') throw error;
    throw new AppError('invalid_client_metadata', 400, error.message, { cause: error });
  }
}

/** All that a client may say about itself; what is not said becomes null, and what only operators decide stays. */
function changesTo(asked: ClientDefinition): DefinitionChanges {
  const cleared = {
    clientUri: null,
    logoUri: null,
    policyUri: null,
    tosUri: null,
    initiateLoginUri: null,
    jwks: null,
    jwksUri: null,
    defaultMaxAge: null,
    defaultAcrValues: null,
    backchannelLogoutUri: null,
    frontchannelLogoutUri: null,
    ...Object.fromEntries(REGISTRABLE_OPTIONS.map((option) => [option, null])),
    // By what it knows people is no matter of leaving something out.
    subjectType: undefined,
  };
  const { kind: _, firstParty: __, consent: ___, requirePkce: ____, rolesClaim: _____, ...said } = asked;
  const { requireMfa: ______, claimsInIdToken: _______, ...changes } = said;
  return { ...cleared, ...changes };
}

/** An operator may have made it one of a sector since, whose document was read for the redirect URIs that it had. */
function keepSector(before: Client, { redirectUris }: ClientDefinition): void {
  if (before.sectorIdentifierUri === undefined) return;
  if (redirectUris.every((uri) => before.redirectUris.includes(uri))) return;
  throw new AppError(
    'invalid_redirect_uri',
    400,
    'The redirect URIs of this client belong to its sector, and only an operator can add to them.',
  );
}

/** RFC 7592 §2.2: it names itself, and its secret, if it gives one, is the one that it has. */
function checkIdentity(metadata: unknown, client: Client, now: Date): void {
  const given = typeof metadata === 'object' ? ((metadata ?? {}) as Record<string, unknown>) : {};
  const stranger = TOLD_BY_US.find((name) => name in given);
  if (stranger !== undefined) throw invalidRequest(`${stranger} is not the client’s to say; leave it out`);
  if (given['client_id'] !== client.clientId) throw invalidRequest('client_id must be the client’s own');
  const secret = given['client_secret'];
  if (secret !== undefined && !(typeof secret === 'string' && verifySecret(client, secret, now))) {
    throw invalidRequest('client_secret must be the one that the client has');
  }
}

function accessDigestOf(accessToken: string): string {
  return digest('registration-access-token', accessToken);
}

function tokenNeeded(): AppError {
  return new AppError('invalid_token', 401, 'Registering a client here needs an initial access token.', {
    cause: new Error('no initial access token'),
  });
}

function notItsOwn(reason: string): AppError {
  return new AppError('invalid_token', 401, 'The registration access token is not good for this client.', {
    cause: new Error(reason),
  });
}

function notThere(): never {
  throw notItsOwn('the client was deleted a moment ago');
}

function invalidRequest(advice: string): AppError {
  return new AppError('invalid_request', 400, `The registration cannot be changed so: ${advice}.`);
}

function tooMany(maxClients: number): AppError {
  return new AppError('too_many_clients', 503, 'No more clients can be registered at this moment.', {
    cause: new Error(`${maxClients} clients have registered themselves already`),
    retryAfterSeconds: 3600,
  });
}
