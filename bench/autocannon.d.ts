/** The part of autocannon's interface that the harness uses; the package brings no types. */
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events';

  interface AutocannonRequest {
    method?: string;
    path?: string;
    headers?: Record<string, string>;
    body?: string;
    setupRequest?: (request: AutocannonRequest, context: Record<string, unknown>) => AutocannonRequest;
    onResponse?: (
      status: number,
      body: string,
      context: Record<string, unknown>,
      headers: Record<string, string | string[]>,
    ) => void;
  }

  interface AutocannonOptions {
    url: string;
    connections: number;
    /** Seconds. */
    duration?: number;
    /** Requests in all, instead of a duration. */
    amount?: number;
    /** Requests a second, of all connections together; as many as possible without it. */
    overallRate?: number;
    /** How often the end is looked for, in milliseconds. */
    sampleInt: number;
    requests: AutocannonRequest[];
  }

  interface AutocannonRun extends EventEmitter, PromiseLike<{ errors: number; timeouts: number }> {
    stop: () => void;
  }

  function autocannon(options: AutocannonOptions): AutocannonRun;
  export default autocannon;
}
