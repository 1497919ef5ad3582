import type { OidcStore } from '../../src/oidc/store/port.ts';

/** Everything that a store does, once. */
export async function useEverything(store: OidcStore): Promise<void> {
  await store.upsert('Grant', 'g', {}, 600);
  await store.upsert('AccessToken', 'at', { grantId: 'g' }, 60);
  await store.upsert('RefreshToken', 'rt', { grantId: 'g' }, 300);
  await store.upsert('DeviceCode', 'dc', { grantId: 'g', userCode: 'BCDF' }, 60);
  await store.findByUserCode('BCDF');
  await store.findStanding('RefreshToken', 'rt');
  await store.spend('RefreshToken', 'rt', { spender: 'a', leaseSeconds: 10 });
  await store.confirmSpent('RefreshToken', 'rt', 'a');
  await store.releaseSpent('RefreshToken', 'rt', 'a');
  await store.saveSession('s1', { uid: 'u', authorizations: { app: { sid: 's' } } }, 60);
  await store.saveSession('s2', { uid: 'u' }, 60, { baseline: { app: { sid: 's' } }, replaces: 's1' });
  await store.find('Session', 's2');
  await store.findByUid('u');
  await store.markOnce('m', 'a', 60);
  await store.markOnce('n', 'a', 60);
  await store.unmark('n', 'a');
  await store.putAnswer('k', 'v1.sealed', 60);
  await store.getAnswer('k');
}

/** The end of what `useEverything` began. */
export async function endEverything(store: OidcStore): Promise<void> {
  await store.destroy('Session', 's2');
  await store.endSession('u');
  await store.revokeByGrantId('g');
  await store.destroy('Grant', 'g');
}
