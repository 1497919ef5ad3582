import { pino, type DestinationStream, type LevelWithSilent, type Logger } from 'pino';

import { prettyLine } from './logging/pretty.ts';
import { hide, redact } from './logging/redact.ts';
import { currentRequest } from './request-context.ts';

export type { Logger } from 'pino';

const bindingSecrets = ['password', 'code', 'token', 'secret', 'authorization', 'cookie'];

/**
 * The log, a JSON object or a readable line each. Every line written on behalf of a request carries its `request_id`,
 * the one that the response and the audit records carry too. Secrets are taken out by name and from URLs, whatever is
 * logged (`logging/redact.ts`). Lines are written synchronously: none is lost when the process ends.
 *
 * @param stream where the lines go; standard output unless given
 */
export function createLogger({
  level,
  format,
  stream,
}: {
  level: LevelWithSilent;
  format: 'json' | 'pretty';
  stream?: DestinationStream;
}): Logger {
  const sink = stream ?? pino.destination({ dest: 1, sync: true });
  const isColoured = stream === undefined && process.stdout.isTTY && process.stdout.hasColors();
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: redact },
      // A child logger's bindings pass no formatter, so the usual names are also given to pino itself.
      redact: { paths: bindingSecrets, censor: hide },
      serializers: { err: (value: unknown) => value },
      mixin: () => {
        const request = currentRequest();
        return request === undefined ? {} : { request_id: request.requestId };
      },
    },
    format === 'json' ? sink : prettyStream(sink, isColoured),
  );
}

function prettyStream(sink: DestinationStream, isColoured: boolean): DestinationStream {
  return {
    write: (line) => {
      sink.write(prettyLine(line, { isColoured }));
    },
  };
}
