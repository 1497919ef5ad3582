/**
 * The static files of the pages: read once, kept in memory, served below a path that names their content. A new
 * version has a new address, so browsers may keep the old one for ever.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Middleware } from 'koa';

export interface Assets {
  /** The URL path of the folder, without a trailing slash: `/assets/<hash>`, after the issuer's own path. */
  base: string;
  /** Answers GET and HEAD below `…/assets/`; everything else passes. */
  middleware: Middleware;
}

interface StaticFile {
  body: Buffer;
  type: string;
}

const folder = join(import.meta.dirname, '../../views/assets');

const types: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** `pathPrefix` is the issuer's path without a trailing slash: empty, or such as `/auth`. */
export function loadAssets({ pathPrefix = '' }: { pathPrefix?: string } = {}): Assets {
  const files = readFiles();
  const hash = hashOf(files);
  const root = `${pathPrefix}/assets/`;
  return {
    base: `${root}${hash}`,
    middleware: async (ctx, next) => {
      const [version, name, ...rest] = ctx.path.startsWith(root)
        ? ctx.path.slice(root.length).split('/')
        : [];
      const file = rest.length === 0 && name !== undefined ? files.get(name) : undefined;
      if (!file || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) {
        await next();
        return;
      }
      // During a rolling update a page of one version may ask a server of another: what it gets must not stick.
      ctx.set('Cache-Control', version === hash ? 'public, max-age=31536000, immutable' : 'no-store');
      ctx.set('X-Content-Type-Options', 'nosniff');
      ctx.type = file.type;
      ctx.body = file.body;
    },
  };
}

function readFiles(): Map<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  for (const name of readdirSync(folder).sort()) {
    const type = types[extname(name)];
    if (type !== undefined) files.set(name, { body: readFileSync(join(folder, name)), type });
  }
  return files;
}

function hashOf(files: Map<string, StaticFile>): string {
  const hash = createHash('sha256');
  for (const [name, { body }] of files) hash.update(`${name}:${body.length}:`).update(body);
  return hash.digest('base64url').slice(0, 16);
}
