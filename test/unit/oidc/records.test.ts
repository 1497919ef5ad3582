import { describe, expect, it } from '@jest/globals';

import { splitSession, toPayload, toRecord } from '../../../src/oidc/store/records.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';

const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);

describe('a sealed payload', () => {
  const mine = toRecord(sealer, 'Interaction', 'mine', { result: { login: { accountId: 'mallory' } } });
  const theirs = toRecord(sealer, 'Interaction', 'theirs', {});

  it('opens in its own place', () => {
    expect(toPayload(sealer, 'Interaction', mine)).toMatchObject({ jti: 'mine' });
  });

  it('is refused when it was copied to the place of another, or of another model', () => {
    const moved = { idDigest: theirs.idDigest, body: mine.body };
    expect(() => toPayload(sealer, 'Interaction', moved)).toThrow();
    expect(() => toPayload(sealer, 'DeviceCode', mine)).toThrow();
  });
});

describe('what a request changed in a session', () => {
  it.each([
    ['nothing', { a: { sid: '1' } }, { a: { sid: '1' } }, {}, []],
    ['a client more', { a: { sid: '1' } }, { a: { sid: '1' }, b: { sid: '2' } }, { b: { sid: '2' } }, []],
    [
      'a client changed',
      { a: { sid: '1' } },
      { a: { sid: '1', grantId: 'g' } },
      { a: { sid: '1', grantId: 'g' } },
      [],
    ],
    ['a client less', { a: { sid: '1' }, b: { sid: '2' } }, { b: { sid: '2' } }, {}, ['a']],
    ['a client merely asked about', {}, { a: {} }, {}, []],
    ['all of them gone', { a: { sid: '1' } }, undefined, {}, ['a']],
  ])('is %s', (_, baseline, authorizations, granted, withdrawn) => {
    const payload = { uid: 'u', ...(authorizations ? { authorizations } : {}) };
    expect(splitSession(payload, baseline)).toEqual({ uid: 'u', rest: { uid: 'u' }, granted, withdrawn });
  });

  it('cannot be told without a uid', () => {
    expect(() => splitSession({})).toThrow(TypeError);
  });
});
