/**
 * Nonces of DPoP proofs (RFC 9449 §8) as the library makes and judges them, for the one kind of request whose proofs it
 * leaves to us (token-exchange/proof.ts). A client keeps one nonce for the whole server, so that of a code is good for an
 * exchange as well, and the other way round.
 */
import { hkdfSync, timingSafeEqual } from 'node:crypto';

export interface DpopNonces {
  /** What the next proof should carry. */
  next: () => string;
  isGood: (nonce: string) => boolean;
}

const STEP_SECONDS = 60;
/** A nonce is good for so many steps around the one that it names, which at first lies ahead. */
const STEPS_AROUND = 2;

/** @param secret 32 bytes, the same on every process, and the one that the library has */
export function createDpopNonces(secret: Buffer): DpopNonces {
  const nonceOf = (step: number): string => {
    const salt = Buffer.alloc(8);
    salt.writeBigUInt64BE(BigInt(step));
    return Buffer.from(hkdfSync('sha256', secret, salt, 'DPoP', 32)).toString('base64url');
  };
  const step = (): number => Math.floor(Date.now() / 1000 / STEP_SECONDS);
  return {
    next: () => nonceOf(step() + 1),
    isGood: (nonce) => {
      const now = step();
      const good = Array.from({ length: 2 * STEPS_AROUND + 1 }, (_, index) =>
        Buffer.from(nonceOf(now - STEPS_AROUND + index)),
      );
      const presented = Buffer.from(nonce);
      return good.some((it) => it.length === presented.length && timingSafeEqual(it, presented));
    },
  };
}
