import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose';

import { OPERATOR, refresh, signedIn, type Tokens } from '../../support/application.ts';
import { createTestClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';

/** What `keys.publishBeforeSigningSeconds` is set to: as long as applications may keep a copy of the JWKS. */
const CACHE_SECONDS = 3600;
const STEPS = 6;
const clock = createTestClock();
let first: TestServer;
let second: TestServer;

beforeAll(async () => {
  first = await startGatehouse({ clock });
  second = await startGatehouse({ clock, sharing: first });
});
afterAll(async () => {
  await second.stop();
  await first.stop();
});

/** An application that asks for the JWKS only when its copy is an hour old. */
function createVerifier(server: TestServer) {
  let cached: { fetchedAt: number; keys: ReturnType<typeof createLocalJWKSet> } | undefined;
  return async (idToken: string): Promise<string | undefined> => {
    const now = clock.now().getTime();
    if (!cached || now - cached.fetchedAt >= CACHE_SECONDS * 1000) {
      const jwks = (await (await fetch(`${server.issuer}/oauth/jwks`)).json()) as JSONWebKeySet;
      cached = { fetchedAt: now, keys: createLocalJWKSet(jwks) };
    }
    const { protectedHeader } = await jwtVerify(idToken, cached.keys, { issuer: first.issuer });
    return protectedHeader.kid;
  };
}

/** The keys change by time: every process looks once a second. */
async function untilNoticed(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1300));
}

it('rotates keys under load without a failed verification, on every process', async () => {
  // Both processes are asked directly; they are one issuer.
  const servers = [first, { ...second, issuer: `http://localhost:${second.address.port}` }];
  const people = await Promise.all([
    signedIn(first),
    signedIn(first),
    signedIn(first, { idTokenAlg: 'ES256' }),
  ]);
  const verifiers = people.map(() => createVerifier(first));
  const current = new Map(
    people.map(({ application, tokens }) => [application.clientId, tokens.refresh_token ?? '']),
  );
  const signedBy = new Set<string | undefined>();
  let verified = 0;

  const load = async (server: Pick<TestServer, 'issuer'>): Promise<void> => {
    await Promise.all(
      people.map(async ({ application }, index) => {
        const response = await refresh(server, application, current.get(application.clientId) ?? '');
        expect(response.status).toBe(200);
        const tokens = (await response.json()) as Tokens;
        current.set(application.clientId, tokens.refresh_token ?? '');
        signedBy.add(await verifiers[index]?.(tokens.id_token ?? ''));
        verified += 1;
      }),
    );
  };

  for (const server of servers) await load(server);
  await first.subjects.keys.rotate({}, OPERATOR);
  const kidsBefore = new Set(signedBy);
  for (let step = 0; step < STEPS; step += 1) {
    // Requests go on while the providers are swapped.
    const noticed = new AbortController();
    const underLoad = (async () => {
      while (!noticed.signal.aborted) for (const server of servers) await load(server);
    })();
    clock.advanceSeconds(CACHE_SECONDS / 4);
    await untilNoticed();
    noticed.abort();
    await underLoad;
  }

  expect(verified).toBeGreaterThan(2 * STEPS * people.length);
  expect([...signedBy].some((kid) => !kidsBefore.has(kid))).toBe(true);
  // Both processes sign with the new keys by now.
  const keys = await first.subjects.keys.list();
  const signing = new Set(keys.filter(({ state }) => state === 'current').map(({ kid }) => kid));
  for (const server of servers) {
    signedBy.clear();
    await load(server);
    expect([...signedBy].every((kid) => kid !== undefined && signing.has(kid))).toBe(true);
  }
}, 60_000);

it('takes a leaked key out at once, and its tokens with it', async () => {
  const { tokens } = await signedIn(first);
  const verify = createVerifier(first);
  const kid = await verify(tokens.id_token ?? '');
  await first.subjects.keys.retire(kid ?? '', OPERATOR, { withdrawNow: true }).catch(async () => {
    await first.subjects.keys.rotate({ alg: 'RS256', immediately: true }, OPERATOR);
    await first.subjects.keys.retire(kid ?? '', OPERATOR, { withdrawNow: true });
  });
  await untilNoticed();
  for (const port of [first.address.port, second.address.port]) {
    const jwks = (await (await fetch(`http://localhost:${port}/oauth/jwks`)).json()) as JSONWebKeySet;
    expect(jwks.keys.map((key) => key.kid)).not.toContain(kid);
    expect(jwks.keys.every((key) => !('d' in key) && !('p' in key))).toBe(true);
  }
});
