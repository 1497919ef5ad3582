/** What a sign-in must have before a client gets an answer: pure, so that the policy and the pages agree. */

/** Authentication context classes (OIDC Core §2, `acr`): one factor, two factors. */
export const ACR_ONE_FACTOR = 'aal1';
export const ACR_TWO_FACTORS = 'aal2';

export type SecondFactorReason = 'account' | 'client' | 'requested' | 'enrolled';

export interface SecondFactorInput {
  /** What the session has reached. */
  acr: string | undefined;
  /** `acr_values` of the request, in the client's order of preference. */
  acrValues: readonly string[];
  /** Without one of these there is no answer; at least one is ours. */
  essentialAcrs?: readonly string[];
  isEnrolled: boolean;
  clientRequires: boolean;
  /** A role of the person demands it, or the configuration does for everybody. */
  accountRequires: boolean;
}

/** Why a second factor is due now; undefined when the sign-in has what it needs. */
export function secondFactorDue(input: SecondFactorInput): SecondFactorReason | undefined {
  if (input.acr === ACR_TWO_FACTORS) return undefined;
  if (input.isEnrolled) return 'enrolled';
  if (input.accountRequires) return 'account';
  if (input.clientRequires) return 'client';
  // Two factors include the one, so they are right for whoever insists on one.
  if (input.essentialAcrs && !input.essentialAcrs.includes(ACR_ONE_FACTOR)) return 'requested';
  const preferred = input.acrValues.find((value) => value === ACR_ONE_FACTOR || value === ACR_TWO_FACTORS);
  return preferred === ACR_TWO_FACTORS ? 'requested' : undefined;
}

/** RFC 8176 methods of a session: the password, then whichever second factor. */
export function amrFor(second: 'otp' | 'recovery' | undefined): string[] {
  if (second === undefined) return ['pwd'];
  // A recovery code is a look-up secret; RFC 8176 has no name of its own for it: a one-time password it is.
  return ['pwd', 'otp', 'mfa'];
}
