/**
 * Documents of the protocol that are the same for everybody until the keys change: discovery and the JWKS. What the
 * provider answers first is kept for as long as that provider is the one of now, and given out without asking it again,
 * with what caches need (RFC 9111): an ETag and an age.
 */
import type { Context, Middleware } from 'koa';
import { createHash } from 'node:crypto';

interface PublishedDocument {
  body: Buffer;
  type: string;
  etag: string;
}

/**
 * @param paths exact paths, the issuer's own included
 * @param current whose answer it is: with another one nothing that was kept counts
 * @param maxAgeSeconds how long others may keep an answer: never longer than a key is published before it signs
 */
export function published({
  paths,
  current,
  maxAgeSeconds,
}: {
  paths: readonly string[];
  current: () => object;
  maxAgeSeconds: number;
}): Middleware {
  const isPublished = new Set(paths);
  const kept = new WeakMap<object, Map<string, PublishedDocument>>();

  return async (ctx, next) => {
    if (!isPublished.has(ctx.path) || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next();
    const provider = current();
    const documents = kept.get(provider) ?? new Map<string, PublishedDocument>();
    kept.set(provider, documents);
    const known = documents.get(ctx.path);
    if (known) return send(ctx, known, maxAgeSeconds);

    await next();
    // Swapped meanwhile: whose answer this is cannot be told.
    if (ctx.status !== 200 || ctx.method !== 'GET' || current() !== provider) return undefined;
    const document = documentFrom(ctx);
    documents.set(ctx.path, document);
    return send(ctx, document, maxAgeSeconds);
  };
}

function documentFrom(ctx: Context): PublishedDocument {
  const type = ctx.response.get('Content-Type');
  const body = Buffer.from(JSON.stringify(ctx.body));
  return { type, body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` };
}

function send(ctx: Context, { body, type, etag }: PublishedDocument, maxAgeSeconds: number): void {
  ctx.status = 200;
  // As the provider says it: any origin may read what is public.
  ctx.vary('Origin');
  ctx.set('Access-Control-Allow-Origin', ctx.get('Origin') || '*');
  ctx.set('Cache-Control', `public, max-age=${maxAgeSeconds}`);
  ctx.set('ETag', etag);
  ctx.set('Content-Type', type);
  if (isHeld(ctx.get('If-None-Match'), etag)) ctx.status = 304;
  else ctx.body = body;
}

/**
 * RFC 9110 §13.1.2, by weak comparison. Not Koa's own: it never says so to a request with `no-cache`, which asks for
 * exactly this, and which `fetch` adds by itself.
 */
function isHeld(ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch
    .split(',')
    .map((held) => held.trim().replace(/^W\//, ''))
    .some((held) => held === etag || held === '*');
}
