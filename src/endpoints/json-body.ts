import type { Context } from 'koa';

import { AppError } from '../platform/errors.ts';

/**
 * The JSON of a request.
 *
 * @throws AppError `invalid_request` (400), `body_too_large` (413)
 */
export async function readJson(ctx: Context, { maxBytes }: { maxBytes: number }): Promise<unknown> {
  if (!ctx.is('application/json')) throw refuse('the body must be application/json');
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of ctx.req as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      // What follows of it is not read.
      ctx.set('Connection', 'close');
      throw new AppError('body_too_large', 413, `The body is longer than ${maxBytes} bytes.`);
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))) as unknown;
  } catch (cause) {
    throw refuse('the body is not JSON', cause);
  }
}

function refuse(advice: string, cause?: unknown): AppError {
  return new AppError('invalid_request', 400, `The request is not understood: ${advice}.`, { cause });
}
