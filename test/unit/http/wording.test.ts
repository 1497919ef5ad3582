import { describe, expect, it } from '@jest/globals';
import { inGroups, instantInWords, shortReference, waitInWords } from '../../../src/http/views/wording.ts';

describe('waitInWords', () => {
  it.each([
    [0, '1 second'],
    [1, '1 second'],
    [7.2, '8 seconds'],
    [59, '59 seconds'],
    [60, '1 minute'],
    [61, '2 minutes'],
    [3600, '1 hour'],
    [3601, '2 hours'],
  ])('puts %d seconds as %s', (seconds, words) => {
    expect(waitInWords(seconds)).toBe(words);
  });
});

describe('inGroups', () => {
  it.each([
    ['JBSWY3DPEHPK', 'JBSW Y3DP EHPK'],
    ['JBSWY3DPEH', 'JBSW Y3DP EH'],
    ['k7wq-2mfd', 'k7wq 2mfd'],
    ['', ''],
  ])('groups %p by four', (code, grouped) => {
    expect(inGroups(code)).toBe(grouped);
  });
});

describe('shortReference', () => {
  it('is the end of the id, so that the operator finds the request by it', () => {
    expect(shortReference('0198c7a2-5b1e-7c34-9d0a-51f27f3c92ad')).toBe('7F3C-92AD');
  });

  it('keeps the case of an id that a proxy made in another alphabet', () => {
    expect(shortReference('req_aBcDeFgHiJ')).toBe('cDeF-gHiJ');
  });

  it('is shorter where the id is', () => {
    expect(shortReference('a1b')).toBe('A1B');
  });
});

describe('instantInWords', () => {
  it('names the day, the second and the zone', () => {
    expect(instantInWords(new Date('2026-11-13T14:23:10.500Z'))).toBe('13 Nov 2026, 14:23:10 UTC');
  });
});
