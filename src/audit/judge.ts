import type { LiveSubject, PreparedBatch, Spend } from './batch.ts';
import type { RevokedSubject } from './errors.ts';
import { isCovered, type Revocation } from './revocations.ts';

/**
 * Which batches of one flush may be written, decided under the chain head's lock from what the database says; or as if
 * it held nothing, where a call that writes declines otherwise (flush-at-once.ts). Pure.
 */

export interface SpentFact {
  digest: string;
  /** The attempt that spent it. */
  spendId: string;
  /** Its writer knows that the commit succeeded, so the credential's successor was delivered. */
  isSettled: boolean;
  ageMs: number;
}

export interface RevokedFact {
  kind: Revocation['kind'];
  subject: string;
  before: Date | undefined;
}

export type Verdict =
  | { kind: 'accepted' }
  | { kind: 'spent'; spend: Spend; by: string }
  /** Spent in a flush whose writer does not know yet whether it succeeded: see settlement.ts. */
  | { kind: 'undecided' }
  | { kind: 'revoked'; subject: RevokedSubject };

/**
 * One verdict per batch, in order. Of equal spends the first wins. A revocation that comes in the same flush counts
 * for every other batch of it, before or after.
 *
 * @param isFinal whether a spend found in the database stands, or its writer may still take it back
 */
export function judge(
  batches: readonly PreparedBatch[],
  facts: { spent: readonly SpentFact[]; revoked: readonly RevokedFact[] },
  isFinal: (fact: SpentFact) => boolean,
): Verdict[] {
  const spentBefore = new Map(facts.spent.map((fact) => [fact.digest, fact]));
  const byDatabase = batches.map((batch): Verdict => {
    const revoked = findRevoked(batch, facts.revoked);
    if (revoked) return { kind: 'revoked', subject: revoked };
    const lost = batch.spent.filter(({ digest }) => spentBefore.has(digest));
    const final = lost.find(({ digest }) => isFinal(spentBefore.get(digest)!));
    if (final) return { kind: 'spent', spend: final, by: spentBefore.get(final.digest)!.spendId };
    return lost.length > 0 ? { kind: 'undecided' } : { kind: 'accepted' };
  });

  const revocations = batches.flatMap((batch, owner) =>
    byDatabase[owner]!.kind === 'accepted'
      ? batch.revocations.map(({ kind, id, before }) => ({ kind, subject: id, before, owner }))
      : [],
  );
  const spentHere = new Map<string, string>();
  return batches.map((batch, index): Verdict => {
    const verdict = byDatabase[index]!;
    if (verdict.kind !== 'accepted') return verdict;
    if (revocations.length > 0) {
      const revoked = findRevoked(
        batch,
        revocations.filter(({ owner }) => owner !== index),
      );
      if (revoked) return { kind: 'revoked', subject: revoked };
    }
    const lost = batch.spent.find(({ digest }) => spentHere.has(digest));
    if (lost) return { kind: 'spent', spend: lost, by: spentHere.get(lost.digest)! };
    for (const { digest, spendId } of batch.spent) spentHere.set(digest, spendId);
    return verdict;
  });
}

/** The subjects of a requirement as (kind, id), as revocations name them. */
export function subjectsOf({
  grantId,
  sessionUid,
  accountId,
  clientId,
  consent,
}: LiveSubject): RevokedSubject[] {
  const subjects: RevokedSubject[] = [];
  if (grantId !== undefined) subjects.push({ kind: 'grant', id: grantId });
  if (sessionUid !== undefined) subjects.push({ kind: 'session', id: sessionUid });
  if (clientId !== undefined) subjects.push({ kind: 'client', id: clientId });
  if (consent !== undefined) subjects.push({ kind: 'consent', id: consent });
  if (accountId !== undefined) {
    subjects.push({ kind: 'account', id: accountId });
    if (sessionUid !== undefined) subjects.push({ kind: 'account_sessions', id: accountId });
  }
  return subjects;
}

function findRevoked(batch: PreparedBatch, revoked: readonly RevokedFact[]): RevokedSubject | undefined {
  if (batch.requireLive.length === 0 || revoked.length === 0) return undefined;
  for (const required of batch.requireLive) {
    for (const subject of subjectsOf(required)) {
      const hit = revoked.some(
        ({ kind, subject: id, before }) =>
          kind === subject.kind && id === subject.id && isCovered(before, required.issuedAt),
      );
      if (hit) return subject;
    }
  }
  return undefined;
}
