import type { DemoSessionProps } from '../http/views/demo.ts';
import type { DemoClient } from './applications.ts';
import { TWO_FACTORS, type Identity } from './relying-party.ts';

/** What the page of somebody signed in shows: the validated ID token, userinfo, and what can be done next. */
export function sessionProps(
  { claims, userinfo, refreshToken }: Identity,
  notice: string | undefined,
  { client, other, issuerName }: { client: DemoClient; other: DemoClient; issuerName: string },
): DemoSessionProps {
  const acr = text(claims['acr']);
  return {
    application: client,
    issuerName,
    signedInAs: userinfo.name ?? userinfo.preferred_username ?? userinfo.email,
    idToken: {
      issuer: claims.iss,
      subject: claims.sub,
      roles: texts(claims['roles']),
      amr: texts(claims['amr']),
      acr,
      authTime: instant(claims.auth_time),
      issuedAt: instant(claims.iat),
      expiresAt: new Date(claims.exp * 1000),
    },
    claims,
    userinfo,
    notice,
    refresh: refreshToken === undefined ? undefined : { action: '/refresh' },
    stepUp: acr === TWO_FACTORS ? undefined : { action: '/step-up' },
    signOut: { action: '/sign-out' },
    // Straight to its sign-in, which needs no question now.
    other: { href: other.initiateLoginUri, label: other.name },
  };
}

function text(claim: unknown): string | undefined {
  return typeof claim === 'string' ? claim : undefined;
}

function texts(claim: unknown): string[] {
  return Array.isArray(claim) ? claim.filter((value) => typeof value === 'string') : [];
}

function instant(epochSeconds: number | undefined): Date | undefined {
  return epochSeconds === undefined ? undefined : new Date(epochSeconds * 1000);
}
