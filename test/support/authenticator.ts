import { generateSync } from 'otplib';

import type { Account } from '../../src/accounts/account.ts';
import type { TestServer } from './gatehouse.ts';

/** What the app on the telephone shows, so many milliseconds from now. */
export function codeAt(secret: string, aheadMs = 0): string {
  return generateSync({ secret, epoch: Math.floor((Date.now() + aheadMs) / 1000) });
}

/** Six digits that are not the code now, nor a step away. */
export function wrongCode(secret: string): string {
  const right = new Set([-30_000, 0, 30_000, 60_000].map((aheadMs) => codeAt(secret, aheadMs)));
  for (let number = 100_000; ; number += 1) if (!right.has(String(number))) return String(number);
}

/** The key on the enrolment page. */
export function keyOn(html: string): string {
  const key = /data-copy="([A-Z2-7]+)"/.exec(html)?.[1];
  if (!key) throw new Error(`no key on this page:\n${html.slice(0, 1500)}`);
  return key;
}

/** Enrols the account with the code of half a minute ago, so that the present one is still good. */
export async function enrol(
  server: TestServer,
  { id }: Pick<Account, 'id'>,
): Promise<{ secret: string; recoveryCodes: string[] }> {
  const { factors } = server.subjects;
  const { secret } = await factors.beginTotpEnrolment(id);
  for (;;) {
    const asked = Date.now();
    const result = await factors.confirmTotp({ accountId: id, code: codeAt(secret, -30_000) });
    if (result.kind === 'ok') return { secret, recoveryCodes: result.recoveryCodes };
    // A step may have ended between the two lines.
    if (Math.floor(asked / 30_000) === Math.floor(Date.now() / 30_000))
      throw new Error(`the enrolment was ${result.kind}`);
  }
}
