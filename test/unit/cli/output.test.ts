import { describe, expect, it } from '@jest/globals';

import { count, formatFields, formatTable, formatTime } from '../../../src/cli/output.ts';

describe('a table', () => {
  it('has aligned columns, a dash for what is absent, and no space at the end of a line', () => {
    const table = formatTable(
      ['NAME', 'STATE', 'NOTE'],
      [
        ['Ada', 'enabled', ''],
        ['Grace Hopper', undefined, 'x'],
      ],
    );
    expect(table.split('\n')).toEqual([
      'NAME          STATE    NOTE',
      'Ada           enabled',
      'Grace Hopper  –        x',
    ]);
  });

  it('counts characters, not their halves', () => {
    expect(formatTable(['A', 'B'], [['🗝', 'x']]).split('\n')).toEqual(['A  B', '🗝  x']);
  });

  it.each([
    ['a terminal’s commands', 'a\u001b[2Jb'],
    ['a line break', 'a\nb'],
    ['what turns the line round', 'a\u202eb'],
    ['a line separator', 'a\u2028b'],
  ])('does not pass on %s', (_, name) => {
    expect(formatTable(['NAME'], [[name]])).toMatch(/^NAME\na\ufffd(\[2J)?b$/);
  });
});

describe('the fields of one thing', () => {
  it('leave out what is absent and give each member of a list a line', () => {
    const text = formatFields([
      ['Name', 'Wiki'],
      ['Role', undefined],
      ['URIs', ['https://a.example', 'https://b.example']],
      ['Contacts', []],
    ]);
    expect(text.split('\n')).toEqual(['Name  Wiki', 'URIs  https://a.example', '      https://b.example']);
  });
});

it('writes times in UTC, from either form', () => {
  expect(formatTime(new Date('2026-01-31T23:59:59.999Z'))).toBe('2026-01-31 23:59:59');
  expect(formatTime('2026-01-31T23:59:59.999123Z')).toBe('2026-01-31 23:59:59');
});

it('counts in words', () => {
  expect([count(0, 'row'), count(1, 'row'), count(2, 'row')]).toEqual(['0 rows', '1 row', '2 rows']);
});
