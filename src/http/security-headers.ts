import type { Middleware } from 'koa';

/**
 * `form-action` is left out on purpose: Chromium checks it along redirects, and a sign-in ends with a redirect to the
 * application. `script-src` must be present, or the provider cannot add the hash of its form_post page.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const TWO_YEARS = 63_072_000;

/** On every answer; harmless for machines, a wall around pages. HSTS (RFC 6797) only where the issuer is https. */
export function securityHeaders({ isHttps }: { isHttps: boolean }): Middleware {
  return async (ctx, next) => {
    ctx.set('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    ctx.set('X-Content-Type-Options', 'nosniff');
    ctx.set('X-Frame-Options', 'DENY');
    // Our own pages may tell each other where they come from (a form's Origin would be "null" otherwise), others not.
    ctx.set('Referrer-Policy', 'same-origin');
    ctx.set('Permissions-Policy', 'camera=(), geolocation=(), microphone=(), payment=()');
    if (isHttps) ctx.set('Strict-Transport-Security', `max-age=${TWO_YEARS}`);
    await next();
  };
}
