import { describe, expect, it } from '@jest/globals';

import { readLines } from '../../../src/cli/data/lines.ts';

async function linesOf(chunks: readonly Uint8Array[]): Promise<string[]> {
  const stream = (async function* () {
    yield* chunks;
  })();
  const lines: string[] = [];
  for await (const line of readLines(stream)) lines.push(line);
  return lines;
}

/** One byte at a time: every border falls inside something. */
function bytes(text: string): Uint8Array[] {
  return Array.from(Buffer.from(text), (byte) => Uint8Array.of(byte));
}

describe('the lines of a stream', () => {
  it.each([
    ['', []],
    ['a\nb\n', ['a', 'b']],
    ['a\nb', ['a', 'b']],
    ['a\n\nb\n', ['a', '', 'b']],
    ['"zwölf 🗝"\n', ['"zwölf 🗝"']],
    // JSON leaves these as they are; none of them ends a line.
    ['"a\u2028b\u2029c\u0085d\re"\n', ['"a\u2028b\u2029c\u0085d\re"']],
  ])('of %j are %j', async (text, expected) => {
    expect(await linesOf(bytes(text))).toEqual(expected);
    expect(await linesOf([Buffer.from(text)])).toEqual(expected);
  });

  it('are refused where they are not UTF-8', async () => {
    await expect(linesOf([Uint8Array.of(0x61, 0xff, 0x0a)])).rejects.toThrow('not valid');
    await expect(linesOf([Uint8Array.of(0xc3)])).rejects.toThrow('not valid');
  });
});
