import type { Context, Middleware } from 'koa';
import { koaBody } from 'koa-body';
import type { z } from 'zod';

import { AppError } from '../platform/errors.ts';

/** Our forms are short; whatever is longer is not one of them. */
const MAX_FORM_BYTES = '16kb';

/** Reads `application/x-www-form-urlencoded` bodies and no others. */
export function formBody(): Middleware {
  return koaBody({
    urlencoded: true,
    json: false,
    text: false,
    multipart: false,
    formLimit: MAX_FORM_BYTES,
    onError: (error) => {
      const isTooLarge = (error as { status?: number }).status === 413;
      throw new AppError(
        isTooLarge ? 'form_too_large' : 'form_unreadable',
        isTooLarge ? 413 : 400,
        isTooLarge
          ? 'That is more than our forms take, so nothing was done. Go back, and enter less.'
          : 'The form did not arrive whole, so nothing was done. Go back, reload the page and try again.',
        { cause: error },
      );
    },
  });
}

/**
 * The posted fields as the schema wants them. The schema is strict: a field that our page does not have is refused.
 *
 * @throws AppError `form_invalid` (400)
 */
export function readForm<Schema extends z.ZodType>(ctx: Context, schema: Schema): z.output<Schema> {
  const result = schema.safeParse((ctx.request as { body?: unknown }).body ?? {});
  if (!result.success) {
    throw new AppError(
      'form_invalid',
      400,
      'The form did not arrive as it was sent, so nothing was done. Go back, reload the page and try again.',
      { cause: result.error },
    );
  }
  return result.data;
}
