/** Server processes that are killed at random moments under load, and started again. */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { expect } from '@jest/globals';

import { createDeployment } from './deployment.ts';
import { gatherEvidence } from './evidence.ts';
import type { GatehouseProcess } from './gatehouse-process.ts';
import type { StoreKind } from './gatehouse.ts';
import { startLoad, type Load } from './load.ts';
import { expectEvidence } from './outage.ts';

const VERIFY_EVERY = 10;
const SHORTEST_LIFE_MS = 100;
const LONGEST_LIFE_MS = 2_000;
/** What a crash leaves pending lapses by itself after some 20 s; then everybody who was cut off has an answer. */
const SETTLES_WITHIN_MS = 120_000;

/**
 * @param kills how many
 * @param seed of the moments; GATEHOUSE_TEST_SEED brings a former run's back
 */
export async function liveThroughKills({
  store,
  kills,
  clients = 2,
  seed = Number(process.env['GATEHOUSE_TEST_SEED'] ?? randomInt(2 ** 31)),
}: {
  store: StoreKind;
  kills: number;
  clients?: number;
  seed?: number;
}): Promise<void> {
  const random = seeded(seed);
  const say = (message: string): boolean =>
    process.stderr.write(`kill storm, sessions in ${store}: ${message}\n`);
  say(`seed ${seed}`);
  const deployment = await createDeployment({
    store,
    env: {
      // Codes outlive the storm, and so does the memory of what was spent.
      GATEHOUSE_TTL_AUTHORIZATION_CODE_SECONDS: '600',
      // The one who is cut off again and again is still honest.
      GATEHOUSE_REFRESH_RETRY_WINDOW_SECONDS: '300',
      // An attempt that the server did not survive is counted; here that happens to everybody.
      GATEHOUSE_THROTTLE_ACCOUNT_FREE_FAILURES: '1000',
      GATEHOUSE_THROTTLE_ADDRESS_FREE_FAILURES: '1000',
    },
  });
  let load: Load | undefined;
  try {
    let server = await deployment.startServer();
    load = await startLoad({ server: deployment, clients, pauseMs: 10 });
    const restarts: number[] = [];
    for (let kill = 1; kill <= kills; kill += 1) {
      await delay(SHORTEST_LIFE_MS + random() * (LONGEST_LIFE_MS - SHORTEST_LIFE_MS));
      await killed(server);
      const start = performance.now();
      server = await deployment.startServer();
      restarts.push(performance.now() - start);
      if (kill % VERIFY_EVERY === 0) expect((await deployment.subjects.audit.verify()).isWhole).toBe(true);
      expect(load.surprises).toEqual([]);
    }
    await load.finish(SETTLES_WITHIN_MS);

    const cutOff = load.noted.filter(({ status }) => status === 0).length;
    const evidence = await gatherEvidence(load, {
      connectionString: deployment.postgres.url,
      secretKey: deployment.secretKey,
    });
    const median = restarts.toSorted((a, b) => a - b)[Math.floor(restarts.length / 2)] ?? 0;
    say(
      `${kills} kills, restart ${median.toFixed(0)} ms at the median, ${load.noted.length} requests, ${cutOff} cut off, ` +
        `${load.received.length} tokens received, ${evidence.issued} issuances on record for ${evidence.spent} spent ` +
        `credentials, ${load.refusedCodes.length} codes refused after a recorded redemption; ${JSON.stringify(load.done)}`,
    );
    expect(load.surprises).toEqual([]);
    await expectEvidence(load, deployment);
  } finally {
    load?.abandon();
    await deployment.stop();
  }
}

async function killed({ child }: GatehouseProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Mulberry32: the same moments for the same seed. In [0, 1). */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
