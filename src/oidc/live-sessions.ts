import type { Provider } from 'oidc-provider';

/** A session that stands: it has neither run out nor been ended. */
export interface LiveSession {
  uid: string;
  signedInAt: Date;
}

/** @param sub whose it must be */
export type FindLiveSession = (uid: string, sub: string) => Promise<LiveSession | undefined>;

export function createFindLiveSession(provider: () => Provider): FindLiveSession {
  return async (uid, sub) => {
    const session = await provider().Session.findByUid(uid);
    if (session?.accountId !== sub || session.loginTs === undefined) return undefined;
    return { uid, signedInAt: new Date(session.loginTs * 1000) };
  };
}
