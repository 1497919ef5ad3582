import { describe, expect, it } from '@jest/globals';

import { generateSigningKey } from '../../../src/keys/generate.ts';
import { randomId, randomToken } from '../../../src/platform/ids.ts';

const many = Array.from({ length: 1_000 });

describe('what operators type', () => {
  it('is never taken for an option', async () => {
    // One in 64 would be.
    expect(many.some(() => randomToken(16).startsWith('-'))).toBe(true);
    expect(many.some(() => randomId(16).startsWith('-'))).toBe(false);
    const keys = await Promise.all(many.map(() => generateSigningKey('EdDSA')));
    expect(keys.some(({ kid }) => kid.startsWith('-'))).toBe(false);
  });

  it('is as hard to guess as any other', () => {
    const ids = many.map(() => randomId(16));
    expect(new Set(ids).size).toBe(many.length);
    for (const id of ids) expect(Buffer.from(id, 'base64url')).toHaveLength(16);
  });
});
