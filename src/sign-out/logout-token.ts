import { randomToken } from '../platform/ids.ts';
import type { Notice } from './notice.ts';

const LIFETIME_SECONDS = 120;
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/** Signs a JWT of that type with the current key of the algorithm. @throws where there is none */
export type SignJwt = (jwt: { typ: string; alg: string; claims: object }) => Promise<string>;

/**
 * A logout token (OIDC Back-Channel Logout 1.0 §2.4): never a `nonce`, so that nobody takes it for an ID token; a `jti`
 * of its own at every attempt, because an application may refuse one that it has seen.
 */
export function createLogoutToken({
  issuer,
  notice,
  alg,
  now,
  sign,
}: {
  issuer: string;
  notice: Pick<Notice, 'clientId' | 'sub' | 'sid'>;
  alg: string;
  now: Date;
  sign: SignJwt;
}): Promise<string> {
  const iat = Math.floor(now.getTime() / 1000);
  return sign({
    typ: 'logout+jwt',
    alg,
    claims: {
      iss: issuer,
      aud: notice.clientId,
      iat,
      exp: iat + LIFETIME_SECONDS,
      jti: randomToken(16),
      sub: notice.sub,
      ...(notice.sid === undefined ? {} : { sid: notice.sid }),
      events: { [EVENT]: {} },
    },
  });
}
