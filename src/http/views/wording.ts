import type { Message, Throttled } from './form.ts';

/** A waiting time in words: "10 seconds", "2 minutes", "1 hour". Rounded up, so that nobody returns too early. */
export function waitInWords(seconds: number): string {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return counted(whole, 'second');
  const minutes = Math.ceil(whole / 60);
  if (minutes < 60) return counted(minutes, 'minute');
  return counted(Math.ceil(minutes / 60), 'hour');
}

/** Groups of four, apart by a space: how keys and codes are read aloud and typed. */
export function inGroups(code: string, separator = ' '): string {
  return code.replaceAll(/[\s-]/gu, '').match(/.{1,4}/gu)?.join(separator) ?? '';
}

/**
 * The short reference of a request: the last eight letters and digits of its id in two groups, so that the
 * operator who is told it on the telephone finds the request by the end of its id.
 */
export function shortReference(requestId: string): string {
  const tail = requestId.replaceAll(/[^0-9a-z]/giu, '').slice(-8);
  // A hexadecimal id is the same in capitals, which read better; in any other alphabet the case may matter.
  return inGroups(/^[0-9a-f-]+$/iu.test(requestId) ? tail.toUpperCase() : tail, '-');
}

/** What a page says that waits for a throttle to pass. The same for every account, known or not. */
export function tooManyTries({ retryAfterSeconds }: Throttled): Message {
  return {
    tone: 'danger',
    title: 'Too many tries.',
    text: `Try again in ${waitInWords(retryAfterSeconds)}. Nothing is lost: this pause keeps guessers out.`,
  };
}

/** An instant as "12 Nov 2026, 14:03:22 UTC". Shown beside its exact form in the markup (`<time datetime>`). */
export function instantInWords(instant: Date): string {
  const parts = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' });
  return `${parts.format(instant)} UTC`;
}

function counted(amount: number, unit: string): string {
  return amount === 1 ? `1 ${unit}` : `${amount} ${unit}s`;
}
