import { describe, expect, it } from '@jest/globals';

import { amrFor, secondFactorDue, type SecondFactorInput } from '../../../src/oidc/requirements.ts';

const nothing: SecondFactorInput = {
  acr: 'aal1',
  acrValues: [],
  isEnrolled: false,
  clientRequires: false,
  accountRequires: false,
};

describe('a second factor', () => {
  it.each<[string, Partial<SecondFactorInput>, ReturnType<typeof secondFactorDue>]>([
    ['is not asked of who has none and needs none', {}, undefined],
    ['is asked of who has one', { isEnrolled: true }, 'enrolled'],
    ['is asked where the client requires it', { clientRequires: true }, 'client'],
    ['is asked where a role or the configuration requires it', { accountRequires: true }, 'account'],
    ['is asked where the request prefers it', { acrValues: ['aal2', 'aal1'] }, 'requested'],
    ['is not asked where the request prefers one factor', { acrValues: ['aal1', 'aal2'] }, undefined],
    [
      'is asked where the request’s first known class is two factors',
      { acrValues: ['gold', 'aal2'] },
      'requested',
    ],
    ['is not asked for classes that nobody knows', { acrValues: ['gold'] }, undefined],
    [
      'is not asked again in the same session',
      { acr: 'aal2', isEnrolled: true, accountRequires: true },
      undefined,
    ],
    ['is asked where two are essential', { essentialAcrs: ['gold', 'aal2'] }, 'requested'],
    [
      'is asked where two are essential, whatever is preferred',
      { acrValues: ['aal1'], essentialAcrs: ['aal2'] },
      'requested',
    ],
    ['is not asked where one will do', { essentialAcrs: ['aal2', 'aal1'] }, undefined],
    [
      'is not asked where one is essential and two are there',
      { acr: 'aal2', essentialAcrs: ['aal1'] },
      undefined,
    ],
    ['is asked where the session has reached nothing', { acr: undefined, isEnrolled: true }, 'enrolled'],
  ])('%s', (_, input, expected) => {
    expect(secondFactorDue({ ...nothing, ...input })).toBe(expected);
  });

  it('is told by RFC 8176 names', () => {
    expect(amrFor(undefined)).toEqual(['pwd']);
    expect(amrFor('otp')).toEqual(['pwd', 'otp', 'mfa']);
    expect(amrFor('recovery')).toEqual(['pwd', 'otp', 'mfa']);
  });
});
