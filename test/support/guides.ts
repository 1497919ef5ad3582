/**
 * The guides as programs: their commands and files, taken out of the Markdown and run as a reader would run them, in an
 * empty folder. The issuer of the test's server and free ports are put in the place of
 * what is printed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { TestServer } from './gatehouse.ts';
import { freePort } from './ports.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const PRINTED_PORT = '8080';
/** Where a guide's second program listens. */
const PRINTED_NEXT_PORT = '8081';
/** What stands in a guide for the issuer, and those two. */
const PRINTED = /https?:\/\/localhost:3000|8080|8081/g;
const READY_WITHIN_MS = 20_000;

export interface Block {
  language: string;
  /** `later` → true, `file=wiki.mjs` → 'wiki.mjs' */
  attributes: Record<string, string | true>;
  text: string;
}

export interface Program {
  output: () => string;
  /** Resolves with the output once it matches. */
  printed: (pattern: RegExp) => Promise<RegExpMatchArray>;
  exited: Promise<number | null>;
  stop: () => Promise<void>;
}

export interface Guide {
  /**
   * Runs the block of commands marked `later` that holds this text.
   *
   * @param words for those that it prints in capitals: `{CLIENT_ID: 'mobile-app'}`
   * @returns what it printed
   * @throws with what it printed, where it fails
   */
  runLater: (text: string, words?: Readonly<Record<string, string>>) => Promise<string>;
  /**
   * Starts a program with a command that the guide prints.
   *
   * @param words for those that it prints in capitals, in order
   * @param env what the program finds in its environment
   * @throws where it prints no such command
   */
  start: (command: string, words?: readonly string[], env?: Readonly<Record<string, string>>) => Program;
  /** The text of the block with that attribute. @throws where there is none */
  text: (attribute: string, value: string) => string;
}

export interface Guides {
  /** Where their applications are served, one at a time. */
  here: string;
  /** Where an API is served beside one. */
  next: string;
  /** Where their files are. */
  folder: string;
  /** Writes the guide's files and runs its commands, but for programs and `later` ones. */
  follow: (name: string) => Promise<Guide>;
  stopPrograms: () => Promise<void>;
  close: () => Promise<void>;
}

/** The fenced blocks of a Markdown text. */
export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', attributes = '', text = '']) => ({
      language,
      attributes: Object.fromEntries(
        attributes
          .trim()
          .split(/\s+/)
          .filter(Boolean)
          .map((attribute) => {
            const [name = '', value] = attribute.split('=');
            return [name, value ?? true];
          }),
      ),
      text,
    }),
  );
}

export async function readGuide(name: string): Promise<Block[]> {
  return blocksOf(await readFile(path.join(ROOT, 'docs', 'guides', `${name}.md`), 'utf8'));
}

/** A folder in which the guides are followed, one after the other, beginning with the first. */
export async function openGuides(server: TestServer): Promise<Guides> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'gh-guides-'));
  const port = await freePort(2);
  const instead: Record<string, string> = {
    [PRINTED_PORT]: String(port),
    [PRINTED_NEXT_PORT]: String(port + 1),
  };
  // At one go: what is put in may contain the digits of another.
  const real = (text: string): string => text.replaceAll(PRINTED, (found) => instead[found] ?? server.issuer);
  const command = path.join(folder, 'bin', 'gatehouse');
  await mkdir(path.dirname(command));
  await writeFile(
    command,
    `#!/bin/sh\nexec "${process.execPath}" "${path.join(ROOT, 'bin', 'gatehouse.mjs')}" "$@"\n`,
  );
  await chmod(command, 0o755);
  await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));

  const programs = new Set<Program>();
  const start = (file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Program => {
    const program = launch(file, args, {
      cwd: folder,
      env: { PATH: `${path.dirname(command)}:${process.env['PATH']}`, HOME: folder, ...env },
    });
    programs.add(program);
    return program;
  };
  const run = async (commands: string): Promise<string> => {
    const shell = start('/bin/sh', ['-ec', real(commands)], server.env);
    const code = await shell.exited;
    if (code !== 0) throw new Error(`${commands}\nended with ${code}:\n${shell.output()}`);
    return shell.output();
  };
  const stopPrograms = async (): Promise<void> => {
    await Promise.all([...programs].map((program) => program.stop()));
    programs.clear();
  };

  return {
    here: `http://localhost:${port}`,
    next: `http://localhost:${port + 1}`,
    folder,
    follow: async (name) => {
      const blocks = await readGuide(name);
      for (const { attributes, text } of blocks)
        if (typeof attributes['file'] === 'string')
          await writeFile(path.join(folder, attributes['file']), real(text));
      const commands = blocks.filter(({ language }) => language === 'sh');
      const isProgram = ({ text }: Block): boolean => text.startsWith('node ');
      for (const block of commands)
        if (!isProgram(block) && !block.attributes['later']) await run(block.text);

      return {
        runLater: async (text, words = {}) => {
          const later = commands.find((block) => block.attributes['later'] && block.text.includes(text));
          if (!later) throw new Error(`the guide ${name} has no later block with ${text}`);
          return run(later.text.replaceAll(/(?<=\s)[A-Z_]+(?=\s)/g, (printed) => words[printed] ?? printed));
        },
        start: (line, words = [], env = {}) => {
          if (!commands.some((block) => isProgram(block) && block.text.trim() === line))
            throw new Error(`the guide ${name} has no block ${line}`);
          const given = [...words];
          return start(
            process.execPath,
            line
              .split(' ')
              .slice(1)
              .map((word) => (/^[A-Z_]+$/.test(word) ? (given.shift() ?? word) : word)),
            env,
          );
        },
        text: (attribute, value) => {
          const block = blocks.find(({ attributes }) => attributes[attribute] === value);
          if (!block) throw new Error(`the guide ${name} has no block with ${attribute}=${value}`);
          return block.text;
        },
      };
    },
    stopPrograms,
    close: async () => {
      await stopPrograms();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function launch(
  command: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Program {
  const child: ChildProcess = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return {
    output: () => output,
    exited,
    printed: async (pattern) => {
      const deadline = Date.now() + READY_WITHIN_MS;
      for (;;) {
        const match = output.match(pattern);
        if (match) return match;
        if (Date.now() > deadline) throw new Error(`${args.join(' ')} did not print ${pattern}:\n${output}`);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    },
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
