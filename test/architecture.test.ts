import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { MAY_IMPORT } from './support/import-table.ts';

/** The composition root, in app.ts and the parts it is told in, and the process entry. They may import everything. */
const AT_THE_ROOT = ['app.ts', 'demo-clients.ts', 'main.ts', 'state.ts', 'subjects.ts', 'throttles.ts'];

/** Packages that only some places know; everything else is free to choose its own. */
const PACKAGES_KEPT_TO: readonly { name: RegExp; places: readonly string[] }[] = [
  { name: /^oidc-provider$/, places: ['oidc/'] },
  { name: /^oidc-provider\//, places: [] },
  {
    name: /^(?:koa|@koa\/.+|koa-.+)$/,
    places: [
      'app.ts',
      'http/',
      'oidc/app',
      'interaction/',
      'account/',
      'admin/',
      'endpoints/',
      'ops/',
      'demo/',
    ],
  },
  { name: /^pg$/, places: ['platform/'] },
  { name: /^ioredis$/, places: ['platform/', 'oidc/'] },
  { name: /^openid-client$/, places: ['demo/'] },
  { name: /^commander$/, places: ['cli/'] },
  { name: /^(?:node:)?process$/, places: [] },
];

/** What reaches for the process, and where alone that is allowed. */
const GLOBALS_KEPT_TO: readonly { what: string; pattern: RegExp; places: readonly string[] }[] = [
  {
    what: 'process.env',
    pattern: /\bprocess\s*(?:\.\s*env\b|\[\s*['"]env['"])|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/,
    places: ['config/load.ts'],
  },
  {
    what: 'process.exit',
    pattern: /\bprocess\s*\.\s*(?:exit|reallyExit|abort)\s*\(/,
    places: ['main.ts', 'cli/main.ts'],
  },
];

const MAX_LINES = 400;
const DRAWERS = /^(?:utils?|helpers?|common|misc|shared|managers?|lib)$|-(?:utils?|helpers?)$/;

const SRC = path.join(import.meta.dirname, '..', 'src');

interface SourceFile {
  /** Relative to src, with forward slashes. */
  name: string;
  text: string;
  code: string;
  imports: string[];
}

const files: SourceFile[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.[cm]?[jt]s$/.test(name))
  .map((name) => name.split(path.sep).join('/'))
  .sort()
  .map((name) => {
    const text = readFileSync(path.join(SRC, name), 'utf8');
    const code = withoutComments(text);
    return { name, text, code, imports: importsOf(code) };
  });

describe('the import table', () => {
  it('lists every folder of src', () => {
    const known = new Set([...Object.keys(MAY_IMPORT), ...AT_THE_ROOT]);
    expect(files.map(({ name }) => folderOf(name)).filter((folder) => !known.has(folder))).toEqual([]);
  });

  it('is kept', () => {
    const violations = files.flatMap(({ name, imports }) => {
      const folder = folderOf(name);
      if (AT_THE_ROOT.includes(folder)) return [];
      const allowed = new Set([folder, ...(MAY_IMPORT[folder] ?? [])]);
      return resolvedImports(name, imports)
        .filter((target) => !target.startsWith('../') && !allowed.has(folderOf(target)))
        .map((target) => `${name} imports ${target}`);
    });
    expect(violations).toEqual([]);
  });

  it('names no import that leaves src, other than for package.json', () => {
    const violations = files.flatMap(({ name, imports }) =>
      resolvedImports(name, imports)
        .filter((target) => target.startsWith('../') && target !== '../package.json')
        .map((target) => `${name} imports ${target}`),
    );
    expect(violations).toEqual([]);
  });

  it('has no cycle between files, type imports included', () => {
    const graph = new Map(files.map(({ name, imports }) => [name, resolvedImports(name, imports)]));
    expect(findCycle(graph)).toBeUndefined();
  });
});

describe('packages', () => {
  it.each(PACKAGES_KEPT_TO)('$name is imported only where it belongs', ({ name: pattern, places }) => {
    const violations = files.flatMap(({ name, imports }) =>
      imports
        .filter((target) => pattern.test(target) && !isAt(name, places))
        .map((target) => `${name} imports ${target}`),
    );
    expect(violations).toEqual([]);
  });

  it('are imported only when package.json lists them as dependencies', () => {
    const manifest = JSON.parse(readFileSync(path.join(SRC, '..', 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const violations = files.flatMap(({ name, code }) =>
      // Types may come from packages that only development needs; they are gone when the code runs.
      importsOf(withoutTypeImports(code))
        .filter((target) => !target.startsWith('.') && !target.startsWith('node:'))
        .filter((target) => !(packageOf(target) in manifest.dependencies))
        .map((target) => `${name} imports ${target}`),
    );
    expect(violations).toEqual([]);
  });
});

describe('the process', () => {
  it.each(GLOBALS_KEPT_TO)('$what is used only where it belongs', ({ pattern, places }) => {
    const violations = files.filter(({ name, code }) => pattern.test(code) && !isAt(name, places));
    expect(violations.map(({ name }) => name)).toEqual([]);
  });
});

describe('files', () => {
  it(`have at most ${MAX_LINES} lines`, () => {
    const lines = files.map(({ name, text }) => ({ name, lines: text.split('\n').length - 1 }));
    expect(lines.filter((file) => file.lines > MAX_LINES)).toEqual([]);
  });

  it('are TypeScript and named in kebab-case', () => {
    const violations = files.filter(
      ({ name }) => !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*\.ts$/.test(name),
    );
    expect(violations.map(({ name }) => name)).toEqual([]);
  });

  it('are named after a subject, not a drawer', () => {
    const violations = files.filter(({ name }) =>
      name
        .replace(/\.ts$/, '')
        .split('/')
        .some((part) => DRAWERS.test(part)),
    );
    expect(violations.map(({ name }) => name)).toEqual([]);
  });

  it('export by name', () => {
    const violations = files.filter(({ code }) => /^\s*export\s+default\b|\bas\s+default\b/m.test(code));
    expect(violations.map(({ name }) => name)).toEqual([]);
  });

  it('import their neighbours with the extension, and Node by its prefix', () => {
    const violations = files.flatMap(({ name, imports }) =>
      imports
        .filter((target) =>
          target.startsWith('.') ? !/\.(?:ts|json)$/.test(target) : isBareNodeModule(target),
        )
        .map((target) => `${name} imports ${target}`),
    );
    expect(violations).toEqual([]);
  });
});

/** The rules above are only as good as the eyes they look through. */
describe('the reading of imports', () => {
  it.each([
    [`import { a } from './a.ts';`, ['./a.ts']],
    [`import {\n  a,\n  b,\n} from './a.ts';`, ['./a.ts']],
    [`import type { A } from "./a.ts";`, ['./a.ts']],
    [`import a, * as b from 'pkg';`, ['pkg']],
    [`import './a.ts';`, ['./a.ts']],
    [`export { a } from './a.ts';`, ['./a.ts']],
    [`export * from './a.ts';`, ['./a.ts']],
    [`export type { A } from './a.ts';`, ['./a.ts']],
    [`const a = await import('./a.ts');`, ['./a.ts']],
    [`type A = import('./a.ts').A;`, ['./a.ts']],
    [`const a = require('pkg');`, ['pkg']],
    [`fork(new URL('./worker.ts', import.meta.url));`, ['./worker.ts']],
    [`// import { a } from './a.ts';\n/* import './b.ts' */`, []],
    [`const url = 'https://example.org'; import { a } from './a.ts';`, ['./a.ts']],
    [`const text = 'select a from accounts';`, []],
  ])('%j', (code, expected) => {
    expect(importsOf(withoutComments(code))).toEqual(expected);
  });

  it('leaves out what exists for the type checker only', () => {
    const code = `import type { A } from 'a';\nimport { b } from 'b';\nexport type { C } from 'c';\ntype D = import('d').D;`;
    expect(importsOf(withoutTypeImports(code))).toEqual(['b']);
  });

  it('finds a cycle through three files', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', ['a']],
      ['d', []],
    ]);
    expect(findCycle(graph)).toEqual(['a', 'b', 'c', 'a']);
    graph.set('c', ['d']);
    expect(findCycle(graph)).toBeUndefined();
  });

  it('sees the process through every way of writing it', () => {
    const [env, exit] = GLOBALS_KEPT_TO.map(({ pattern }) => pattern);
    for (const code of [`process.env.HOME`, `process['env']`, `const { env } = process`]) {
      expect(code).toMatch(env as RegExp);
    }
    expect('process.exit(1)').toMatch(exit as RegExp);
    expect('process.exitCode = 1').not.toMatch(exit as RegExp);
  });
});

/** Comments become blank; strings stay as they are, whatever they hold. */
function withoutComments(text: string): string {
  return text.replaceAll(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\/\*[\s\S]*?\*\/|(?<![:\\/])\/\/[^\n]*/g,
    (_, literal: string | undefined) => literal ?? ' ',
  );
}

function withoutTypeImports(code: string): string {
  return code
    .replaceAll(/^[ \t]*(?:import|export)\s+type\b[^;'"]*?from\s*['"][^'"]+['"]/gm, ' ')
    .replaceAll(/(?<!await\s)\bimport\(\s*['"][^'"]+['"]\s*\)\s*(?=\.[A-Z]|\[)/g, ' ');
}

function importsOf(code: string): string[] {
  const forms = [
    /^[ \t]*(?:import|export)\b(?!\s*\()[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /(?<=;)[ \t]*import\b(?!\s*\()[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /^[ \t]*import\s*['"]([^'"]+)['"]/gm,
    /\b(?:import|require|import\.meta\.resolve)\(\s*['"]([^'"]+)['"]/g,
    /\bnew URL\(\s*['"](\.{1,2}\/[^'"]+\.ts)['"]\s*,\s*import\.meta\.url/g,
  ];
  return forms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1] ?? ''));
}

function resolvedImports(name: string, imports: readonly string[]): string[] {
  return imports
    .filter((target) => target.startsWith('.'))
    .map((target) => path.posix.join(path.posix.dirname(name), target));
}

function folderOf(name: string): string {
  return name.startsWith('../') ? name : (name.split('/')[0] ?? name);
}

function isAt(name: string, places: readonly string[]): boolean {
  return places.some((place) => (place.endsWith('.ts') ? name === place : name.startsWith(place)));
}

function packageOf(target: string): string {
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
}

function isBareNodeModule(target: string): boolean {
  return /^(?:assert|buffer|child_process|cluster|crypto|dns|events|fs|http|https|net|os|path|process|readline|stream|timers|tls|url|util|worker_threads|zlib)(?:\/|$)/.test(
    target,
  );
}

/** The first cycle found, as the path that closes it; undefined when there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const walk = (name: string, trail: readonly string[]): string[] | undefined => {
    const start = trail.indexOf(name);
    if (start !== -1) return [...trail.slice(start), name];
    if (done.has(name)) return undefined;
    for (const next of graph.get(name) ?? []) {
      const cycle = walk(next, [...trail, name]);
      if (cycle) return cycle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of graph.keys()) {
    const cycle = walk(name, []);
    if (cycle) return cycle;
  }
  return undefined;
}
