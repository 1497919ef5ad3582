import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { randomToken } from '../../../src/platform/ids.ts';
import { type OpenStore, stores } from './stores.ts';

const PACE = { intervalSeconds: 5, stepSeconds: 5, ttlSeconds: 600 };
const IN_TIME = { kind: 'in-time' };

describe.each(stores)('polling in $name', ({ open }) => {
  let opened: OpenStore;
  let key: string;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());
  const poll = (store = opened.store) => store.poll(key, PACE);

  it('lets whoever keeps to the interval ask on, on any process', async () => {
    key = randomToken();
    expect(await poll()).toEqual(IN_TIME);
    opened.clock.advanceSeconds(5);
    expect(await poll(opened.other)).toEqual(IN_TIME);
    opened.clock.advanceSeconds(4.6);
    expect(await poll()).toEqual(IN_TIME);
  });

  it('makes the interval five seconds longer for each question that comes too early (RFC 8628 §3.5)', async () => {
    key = randomToken();
    await poll();
    opened.clock.advanceSeconds(2);
    expect(await poll(opened.other)).toEqual({ kind: 'too-early', intervalSeconds: 10 });
    opened.clock.advanceSeconds(5);
    expect(await poll()).toEqual({ kind: 'too-early', intervalSeconds: 15 });
    opened.clock.advanceSeconds(15);
    expect(await poll(opened.other)).toEqual(IN_TIME);
    opened.clock.advanceSeconds(10);
    expect(await poll()).toEqual({ kind: 'too-early', intervalSeconds: 20 });
  });

  it('finds one of many questions at once in time, and counts the others', async () => {
    key = randomToken();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => poll(index % 2 === 0 ? opened.store : opened.other)),
    );
    expect(answers.filter(({ kind }) => kind === 'in-time')).toHaveLength(1);
    const waits = answers.flatMap((answer) => (answer.kind === 'too-early' ? [answer.intervalSeconds] : []));
    expect(waits.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 19 }, (_, index) => 10 + 5 * index));
  });

  it('keeps what one key asked apart from another', async () => {
    key = randomToken();
    await poll();
    key = randomToken();
    expect(await poll()).toEqual(IN_TIME);
  });
});
