/** The documents say nothing that is not so: what they name exists. That the guides work is shown in long/guides.test.ts. */
import { describe, expect, it } from '@jest/globals';
import type { Command } from 'commander';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { createProgram } from '../../src/cli/program.ts';
import { settings } from '../../src/config/settings.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { blocksOf } from '../support/guides.ts';
import { MAY_IMPORT } from '../support/import-table.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const PATH = /^(?:bin|src|test|config|migrations|views|docs|bench|\.ci)\/[\w./-]+$/;
const LEFT_OUT = new Set(['node_modules', '.git', 'data', 'coverage', 'secrets']);

const files = listFiles();
const documents = files
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(path.join(ROOT, name), 'utf8') }));

describe.each(documents)('$name', ({ name, text }) => {
  it('links to what exists', () => {
    const missing = linksIn(text).filter((link) => !exists(link, name));
    expect(missing).toEqual([]);
  });

  it('names files that exist', () => {
    const named = codeIn(text).filter((code) => PATH.test(code));
    expect(named.filter((file) => !isThere(file.replace(/\/$/, '')))).toEqual([]);
  });

  it('names commands and options that exist', () => {
    const faults = commandsIn(text).flatMap((words) => faultOf(words) ?? []);
    expect(faults).toEqual([]);
  });

  it('names settings that exist', () => {
    const names = new Set(text.match(/\bGATEHOUSE_[A-Z_]*[A-Z_]/g) ?? []);
    expect([...names].filter((setting) => !isSetting(setting))).toEqual([]);
  });
});

describe('docs/architecture.md', () => {
  const text = documentNamed('docs/architecture.md');

  it('shows the import table that the architecture is held to', () => {
    const section = text.slice(text.indexOf('## Who may import whom'), text.indexOf('## Three walks'));
    const table = Object.fromEntries(
      rowsIn(section).flatMap(([folders = '', imports = '']) =>
        codeIn(folders).map((folder) => [folder, codeIn(imports)]),
      ),
    );
    expect(table).toEqual(MAY_IMPORT);
  });

  it('lists every folder of src', () => {
    const tree = blocksOf(text)[0]?.text ?? '';
    const folders = new Set(files.flatMap((file) => /^src\/([^/]+)\//.exec(file)?.[1] ?? []));
    expect([...folders].filter((folder) => !tree.includes(`  ${folder}/ `))).toEqual([]);
  });

  it('gives every table an owner', () => {
    const made = files
      .filter((file) => /^migrations\/.+\.sql$/.test(file))
      .flatMap((file) =>
        Array.from(
          readFileSync(path.join(ROOT, file), 'utf8').matchAll(/^create table (\w+) \(/gm),
          ([, table = '']) => table,
        ),
      );
    const owned = codeIn(text.slice(text.indexOf('## The data'), text.indexOf('## The promises')));
    expect(made.filter((table) => !owned.includes(table))).toEqual([]);
  });
});

describe('docs/operations.md', () => {
  const text = documentNamed('docs/operations.md');
  const section = (from: string, to: string): string => text.slice(text.indexOf(from), text.indexOf(to));

  it('describes every metric, and no other', async () => {
    const metrics = createMetrics({ isProcessIncluded: false });
    metrics.watchHashing(() => ({ running: 0, queued: 0, capacity: 0, computed: 0, refused: 0 }));
    metrics.watchDatabasePool(() => ({ total: 0, idle: 0, waiting: 0 }));
    const made = [...(await metrics.render()).matchAll(/^# HELP (\w+)/gm)].map(([, metric]) => metric);
    const described = rowsIn(section('## Metrics', '## Logs')).flatMap(([names = '']) => codeIn(names));
    expect(new Set(described)).toEqual(new Set(made));
  });

  it('explains error codes that exist', () => {
    const source = files
      .filter((file) => /^src\/.+\.ts$/.test(file))
      .map((file) => readFileSync(path.join(ROOT, file), 'utf8'))
      .join('\n');
    const codes = rowsIn(section('## Troubleshooting', 'What applications get')).flatMap(([named = '']) =>
      codeIn(named),
    );
    expect(codes.length).toBeGreaterThan(30);
    expect(codes.filter((code) => !source.includes(`'${code}'`))).toEqual([]);
  });
});

describe('docs/threats.md', () => {
  const all = rowsIn(documentNamed('docs/threats.md'));
  const rows = all.filter(([item = '']) => item.includes('§'));
  const naming = all.filter((row) => row[0]?.includes('§') || row.at(-1)?.includes(' › '));

  it('speaks of every attack of RFC 9700 §4', () => {
    const items = rows.map(([item = '']) => item.trim());
    expect(items).toEqual(Array.from({ length: 17 }, (_, index) => `§4.${index + 1}`));
  });

  it.each(naming.map((row) => [row[0]!.trim(), row.at(-1)!]))('%s names tests that exist', (_item, tests) => {
    const named = tests.split(';').map((test) => /`([^`]+)` › (.+)/.exec(test.trim()) ?? []);
    const missing = named.filter(
      ([, file = '', title = '']) =>
        title === '' || !readFileSync(path.join(ROOT, file), 'utf8').includes(title.trim()),
    );
    expect(missing).toEqual([]);
  });
});

/** Proof that the eyes above see. */
describe('the reading of documents', () => {
  it('finds links, images and pictures', () => {
    const text =
      '[a](b.md#c) ![d](e.png "title") <img src="f.png"> <source srcset="g.png"> <https://h.example>';
    expect(linksIn(text)).toEqual(['b.md#c', 'e.png', 'f.png', 'g.png']);
  });

  it('leaves out what is code', () => {
    expect(linksIn('`[a](b)`\n\n```text\n[c](d)\n```\n')).toEqual([]);
  });

  it.each([
    ['gatehouse users create --email a@example.com', undefined],
    ['gatehouse users', undefined],
    ['gatehouse <noun> <verb>', undefined],
    ['gatehouse users befriend ada', 'gatehouse users befriend'],
    ['gatehouse users create --emial a', 'gatehouse users create --emial'],
    ['gatehouse frobnicate', 'gatehouse frobnicate'],
  ])('%s', (line, fault) => {
    expect(faultOf(line.split(' '))).toBe(fault);
  });

  it('reads commands from blocks, continued lines and prose', () => {
    const text =
      'Use `gatehouse keys list`.\n\n```sh\nexport A=b\nX=y gatehouse users create \\\n  --email a < b | cat\nnpx --no-install gatehouse start\n```\n';
    expect(commandsIn(text).map((words) => words.join(' '))).toEqual([
      'gatehouse users create --email a',
      'gatehouse start',
      'gatehouse keys list',
    ]);
  });

  it('tells settings from what is none', () => {
    expect(['GATEHOUSE_ISSUER', 'GATEHOUSE_SECRET_KEY_FILE', 'GATEHOUSE_THROTTLE_'].map(isSetting)).toEqual([
      true,
      true,
      true,
    ]);
    expect(['GATEHOUSE_ISUER', 'GATEHOUSE_NONE_'].map(isSetting)).toEqual([false, false]);
  });
});

function listFiles(folder = ''): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) return [name];
    return LEFT_OUT.has(name) ? [] : listFiles(name);
  });
}

function documentNamed(name: string): string {
  const document = documents.find((one) => one.name === name);
  if (!document) throw new Error(`there is no ${name}`);
  return document.text;
}

function isThere(name: string): boolean {
  return files.some((file) => file === name || file.startsWith(`${name}/`));
}

/** The relative targets of links and pictures. */
function linksIn(text: string): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '');
  const forms = /\]\(([^)\s]+)[^)]*\)|\b(?:src|srcset)="([^"\s]+)"/g;
  return [...prose.matchAll(forms)]
    .map(([, link, source]) => link ?? source ?? '')
    .filter((link) => !/^[a-z]+:/i.test(link));
}

function exists(link: string, from: string): boolean {
  const [target = '', fragment] = link.split('#');
  const file = target === '' ? from : path.posix.join(path.posix.dirname(from), decodeURIComponent(target));
  const name = file.replace(/\/$/, '');
  if (!isThere(name)) return false;
  if (fragment === undefined) return true;
  const document = documents.find((one) => one.name === name);
  return document !== undefined && headingsIn(document.text).includes(fragment);
}

/** As anchors: lower case, without punctuation, hyphens for spaces. */
function headingsIn(text: string): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The code within prose and tables. */
function codeIn(text: string): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    ([, code = '']) => code,
  );
}

/** The cells of every table row but the headings. */
function rowsIn(text: string): string[][] {
  return text
    .split('\n')
    .filter(
      (line, index, lines) =>
        line.startsWith('|') && !/^\| ?-/.test(line) && !/^\| ?-/.test(lines[index + 1] ?? ''),
    )
    .map((line) => line.split('|').slice(1, -1));
}

/** Each call of `gatehouse` as words, from blocks of commands and from prose. */
function commandsIn(text: string): string[][] {
  const lines = blocksOf(text)
    .filter(({ language }) => language === 'sh')
    .flatMap((block) => block.text.replaceAll(/\\\n\s*/g, ' ').split('\n'));
  return [...lines, ...codeIn(text)].flatMap((line) => {
    const call = /(?:^|[|;(\s])gatehouse((?:\s.*)?)$/.exec(line.replace(/^[^']*(?:npx --no-install )/, ''));
    const isCall = /^(?:[A-Z_]+=\S* )*(?:npx --no-install )?gatehouse(?:\s|$)/.test(line);
    if (!isCall || !call) return [];
    const words = (call[1] ?? '').replace(/\s+[<>|].*$/, '').trim();
    return [['gatehouse', ...words.split(/\s+/).filter(Boolean)]];
  });
}

/** What the command line does not know of it; undefined where all is well. Stops at placeholders. */
function faultOf([, ...words]: string[]): string | undefined {
  let command: Command = createProgram({ isForMachines: false });
  const path: string[] = ['gatehouse'];
  for (const [index, word] of words.entries()) {
    if (/^[<…[]/.test(word)) return undefined;
    const next = command.commands.find((one) => one.name() === word);
    if (next) {
      command = next;
      path.push(word);
      continue;
    }
    if (command.commands.length > 0 && !word.startsWith('-')) return [...path, word].join(' ');
    const options = words.slice(index).filter((one) => one.startsWith('--'));
    const stranger = options.find(
      (option) => option !== '--help' && !command.options.some(({ long }) => long === option),
    );
    return stranger && [...path, stranger].join(' ');
  }
  return undefined;
}

/** A setting, the file of one, one of the tests', or the beginning of several (`GATEHOUSE_THROTTLE_…`). */
function isSetting(name: string): boolean {
  if (name.startsWith('GATEHOUSE_TEST_')) return true;
  if (name === 'GATEHOUSE_BIND') return true; // compose.yaml's own
  return settings.some(
    ({ environmentName }) =>
      environmentName === name ||
      `${environmentName}_FILE` === name ||
      (name.endsWith('_') && environmentName.startsWith(name)),
  );
}
