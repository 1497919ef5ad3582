/** Cost of argon2id (RFC 9106 §3.1). */
export interface HashParameters {
  memoryKib: number;
  iterations: number;
  parallelism: number;
}

export interface HashingBusy {
  kind: 'busy';
  retryAfterSeconds: number;
}

/** What a worker is asked for. */
export type HashingWork =
  | { kind: 'verify'; password: string; hashes: readonly string[] }
  | { kind: 'hash'; password: string; parameters: HashParameters };

/** A place in the queue. One attempt to sign in is one place, whatever number of hashes it takes. */
export interface HashingSlot {
  /** Compares the password with each PHC string, in this order, all of them always. */
  verifyEach: (password: string, hashes: readonly string[]) => Promise<boolean[]>;
  /** @returns a PHC string */
  hash: (password: string, parameters: HashParameters) => Promise<string>;
  /** Gives the place back; call it once, whatever happened. */
  release: () => void;
}

export interface HashingUse {
  workers: number;
  /** Computing at this moment. */
  running: number;
  /** Waiting for a worker. */
  queued: number;
  /** Places taken, of `capacity`. */
  reserved: number;
  capacity: number;
  /** Hashes computed and attempts refused since the start. */
  computed: number;
  refused: number;
}

/** Where passwords are hashed: `createHashingPool` in a server, `createInlineHasher` in the CLI. */
export interface Hasher {
  /** Decides at once, before anything is known about the account, whether there is capacity. */
  reserve: () => { kind: 'ok'; slot: HashingSlot } | HashingBusy;
  /** One hash in a place of its own. */
  hash: (password: string, parameters: HashParameters) => Promise<{ kind: 'ok'; hash: string } | HashingBusy>;
  /** For metrics. */
  use: () => HashingUse;
  close: () => Promise<void>;
}
