import { appendInTransaction } from '../audit/append.ts';
import type { Actor, AuditEvent } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { Sealer } from '../platform/seal.ts';
import type { GeneratedKey } from './generate.ts';
import { endingOf, planRotation, stateAt, type RotationTimes } from './keyset.ts';
import type { SigningAlg, SigningKey } from './signing-key.ts';
import { activateKey, endKey, insertKey, listKeys, reopenKey, type StoredKey } from './store.ts';

interface RotationDependencies {
  tx: Queryable;
  clock: Clock;
  sealer: Sealer;
  times: RotationTimes;
}

/**
 * Puts the next key of one algorithm in place, under the keys' lock.
 *
 * @param generated used where a key is needed
 * @throws AppError `rotation_under_way` (409)
 */
export async function rotateKey(
  { tx, clock, sealer, times }: RotationDependencies,
  { alg, immediately, generated }: { alg: SigningAlg; immediately: boolean; generated: GeneratedKey },
  by: Actor,
): Promise<SigningKey> {
  const now = clock.now();
  const siblings = (await listKeys(tx)).filter((key) => key.alg === alg);
  const plan = planRotation(siblings, now, times, { immediately });
  if (plan.kind === 'under_way') {
    throw new AppError(
      'rotation_under_way',
      409,
      `The next ${alg} key, ${plan.kid}, signs from ${plan.activatesAt.toISOString()}. Bring it forward by rotating immediately, or retire it.`,
    );
  }
  if (plan.previous) await endKey(tx, plan.previous);
  let kid: string;
  if (plan.kind === 'create') {
    kid = generated.kid;
    await insertKey(tx, sealer, generated, { alg, createdAt: now, activatesAt: plan.activatesAt });
    const state = plan.activatesAt > now ? 'next' : 'current';
    await recordKey({ tx, clock }, { type: 'key.created', payload: { kid, alg, state } }, by);
  } else {
    kid = plan.kid;
    await activateKey(tx, kid, plan.activatesAt);
  }
  const previous = plan.previous && { previous_kid: plan.previous.kid };
  await recordKey({ tx, clock }, { type: 'key.rotated', payload: { kid, alg, ...previous } }, by);
  return presentKey(await getKey(tx, kid), now);
}

/**
 * Ends a key, under the keys' lock.
 *
 * @throws AppError `key_not_found` (404), `only_signing_key`, `key_already_retired` (409)
 */
export async function retireKey(
  { tx, clock, times }: Omit<RotationDependencies, 'sealer'>,
  { kid, withdrawNow }: { kid: string; withdrawNow: boolean },
  by: Actor,
): Promise<SigningKey> {
  const now = clock.now();
  const key = await getKey(tx, kid);
  const { alg } = key;
  const siblings = (await listKeys(tx)).filter((other) => other.alg === alg && other.kid !== kid);
  const inState = (state: SigningKey['state']): StoredKey | undefined =>
    siblings.find((other) => stateAt(other, now) === state);
  switch (stateAt(key, now)) {
    case 'removed':
      throw alreadyRetired(key);
    case 'retired': {
      if (!withdrawNow) throw alreadyRetired(key);
      await endKey(tx, { kid, retiresAt: key.retiresAt ?? now, removesAt: now });
      break;
    }
    case 'next': {
      const current = inState('current');
      if (!current) throw onlySigningKey(key);
      await endKey(tx, { kid, retiresAt: now, removesAt: now });
      await reopenKey(tx, current.kid);
      break;
    }
    case 'current': {
      const next = inState('next');
      if (!next) throw onlySigningKey(key);
      const ending = endingOf(kid, now, times);
      await endKey(tx, withdrawNow ? { ...ending, removesAt: now } : ending);
      await activateKey(tx, next.kid, now);
      await recordKey({ tx, clock }, { type: 'key.activated', payload: { kid: next.kid, alg } }, by);
    }
  }
  const ended = await getKey(tx, kid);
  const until = ended.removesAt && ended.removesAt > now ? ended.removesAt.toISOString() : undefined;
  await recordKey(
    { tx, clock },
    until
      ? { type: 'key.retired', payload: { kid, alg, published_until: until } }
      : { type: 'key.removed', payload: { kid, alg } },
    by,
  );
  return presentKey(ended, now);
}

/** Tells the audit log of a change of keys, in the change's own transaction. */
export async function recordKey(
  { tx, clock }: { tx: Queryable; clock: Clock },
  event: Pick<AuditEvent, 'type' | 'payload'>,
  by: Actor,
): Promise<void> {
  await appendInTransaction(tx, { ...event, outcome: 'success', actor: by } as AuditEvent, { clock });
}

/** Public fields only, named one by one. */
export function presentKey(key: StoredKey, now: Date): SigningKey {
  return {
    kid: key.kid,
    alg: key.alg,
    state: stateAt(key, now),
    publicJwk: key.publicJwk,
    createdAt: key.createdAt,
    activatesAt: key.activatesAt,
    ...(key.retiresAt && { retiresAt: key.retiresAt }),
    ...(key.removesAt && { removesAt: key.removesAt }),
  };
}

async function getKey(tx: Queryable, kid: string): Promise<StoredKey> {
  const key = (await listKeys(tx)).find((candidate) => candidate.kid === kid);
  if (!key) throw new AppError('key_not_found', 404, `There is no signing key ${JSON.stringify(kid)}.`);
  return key;
}

function alreadyRetired({ kid }: StoredKey): AppError {
  return new AppError('key_already_retired', 409, `Signing key ${kid} signs no more already.`);
}

function onlySigningKey({ kid, alg }: StoredKey): AppError {
  return new AppError(
    'only_signing_key',
    409,
    `Signing key ${kid} is the only one for ${alg}. Rotate first: the next key then takes over; immediately, if this one has leaked.`,
  );
}
