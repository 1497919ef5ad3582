import { expect } from '@jest/globals';

import { type Application, introspect, refresh, type Tokens } from '../application.ts';
import { answerOf, type Node } from './deployment.ts';

/** What one process revoked the others know after this long at most. */
const KNOWN_EVERYWHERE_MS = 1_000;

/** Within a second, on every process: the access token is inactive, and no key to userinfo; the refresh token refused. */
export async function expectDead(
  nodes: readonly Node[],
  application: Application,
  { access_token: accessToken, refresh_token: refreshToken }: Tokens,
  deadline = Date.now() + KNOWN_EVERYWHERE_MS,
  /** What a refresh comes with, where the token is bound to a key. */
  proof: () => Promise<RequestInit> = async () => ({}),
): Promise<void> {
  for (const node of nodes) {
    for (;;) {
      // Before the question: to one that is asked in time nothing is promised yet, however late its answer comes.
      const isDue = Date.now() >= deadline;
      const { active } = await introspect(node, application, accessToken);
      if (!active) break;
      if (isDue) throw new Error(`the access token is still active at ${node.issuer}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    const userinfo = await fetch(`${node.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    expect(userinfo.status).toBe(401);
    if (refreshToken === undefined) continue;
    expect(await answerOf(refresh(node, application, refreshToken, await proof()))).toMatchObject({
      status: 400,
      text: expect.stringContaining('invalid_grant'),
    });
  }
}
