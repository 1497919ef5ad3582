/**
 * The one error type whose message a client may read. Whatever else is thrown is a fault: it is logged with its
 * request id and told as "something went wrong".
 */
export class AppError extends Error {
  /** Stable, snake_case, for machines. */
  readonly code: string;
  /** HTTP status that a door answers with. */
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: string,
    status: number,
    message: string,
    options: { cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.status = status;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
