export interface DemoApplication {
  name: string;
  url: string;
  description: string;
}

/** What the first worker tells when it is ready: for whoever watches the start, and for the others. */
export interface FirstWorker {
  url: string;
  address: { address: string; port: number };
  firstAdministrator: { email: string; password?: string } | undefined;
  demo: readonly DemoApplication[];
}

/** What a worker is: one of so many, the first of which has told that it is ready. */
export interface Assignment {
  /** From 1. */
  number: number;
  of: number;
  /** What the first worker told; absent for itself. */
  first?: FirstWorker | undefined;
}

export type ToWorker = { kind: 'assignment' } & Assignment;

/** Other messages pass between the processes too: those of node:cluster, and of the metrics. */
export type ToPrimary = { kind: 'hello' } | { kind: 'ready'; ready: FirstWorker };

export function isToPrimary(message: unknown): message is ToPrimary {
  return ['hello', 'ready'].includes(kindOf(message));
}

export function isToWorker(message: unknown): message is ToWorker {
  return kindOf(message) === 'assignment';
}

function kindOf(message: unknown): string {
  return typeof message === 'object' && message !== null && 'kind' in message ? String(message.kind) : '';
}
