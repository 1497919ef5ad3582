import type { Context } from 'koa';

/**
 * The mark of a browser that signed in before: a counter of failures of its own, so that a stranger's guesses never
 * lock the owner out (accounts/devices.ts). It signs nobody in.
 */
const ONE_YEAR_MS = 365 * 24 * 3600 * 1000;

interface CookiePlace {
  issuerPath: string;
  isHttps: boolean;
}

export function readDeviceCookie(ctx: Context, place: CookiePlace): string | undefined {
  return ctx.cookies.get(nameAt(place), { signed: true });
}

export function writeDeviceCookie(ctx: Context, place: CookiePlace, deviceId: string): void {
  ctx.cookies.set(nameAt(place), deviceId, {
    signed: true,
    httpOnly: true,
    sameSite: 'lax',
    secure: place.isHttps,
    path: place.issuerPath || '/',
    maxAge: ONE_YEAR_MS,
  });
}

/** `__Host-` (RFC 6265bis §4.1.3.2) where the path allows. */
function nameAt({ issuerPath, isHttps }: CookiePlace): string {
  return isHttps && issuerPath === '' ? '__Host-gatehouse-device' : 'gatehouse-device';
}
