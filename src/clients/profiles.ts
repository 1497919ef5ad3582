/** The security profiles that a client can be held to (see security-profile.ts). */
export const SECURITY_PROFILES = ['fapi2', 'fapi2_message_signing'] as const;
