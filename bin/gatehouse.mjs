#!/usr/bin/env node
// The way in: `gatehouse <noun> <verb>`, or `gatehouse run <file.ts> [arguments]` for the project's own scripts.
// Plain JavaScript that an old Node understands too: the sources are TypeScript, which needs Node 24. Where the Node
// that reads this is older, the one from the optional package node-<platform>-<arch> takes over.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const REQUIRED_MAJOR = 24;
const EXIT_MISUSED = 2;
/** Tells the Node that takes over which descriptor is its leash. */
const LEASH = 'GATEHOUSE_LAUNCHER_LEASH';

const self = fileURLToPath(import.meta.url);

if (major(process.versions.node) >= REQUIRED_MAJOR) await runHere(process.argv.slice(2));
else handOver(process.argv.slice(2));

async function runHere(args) {
  followLauncher();
  hideTypeStrippingWarning();
  const [script, rest] = scriptFor(args);
  process.argv = [process.execPath, script, ...rest];
  await import(pathToFileURL(script).href);
}

function scriptFor(args) {
  if (args[0] !== 'run') return [path.join(path.dirname(self), '..', 'src', 'cli', 'main.ts'), args];
  if (args[1] === undefined) fail('Usage: gatehouse run <file.ts> [arguments]');
  const script = path.resolve(args[1]);
  if (!existsSync(script)) fail(`gatehouse run: there is no file ${script}`);
  return [script, args.slice(2)];
}

function handOver(args) {
  const node = findNode();
  // 'pipe' is the leash: it closes when this process ends, however it ends.
  const child = spawn(node, [...process.execArgv, self, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [LEASH]: '3' },
  });
  child.on('error', (error) =>
    fail(`Node.js ${REQUIRED_MAJOR} could not be started (${node}): ${error.message}`),
  );
  // A terminal sends these to its whole foreground group, the child included; a second one would ask it to hurry.
  relay(child, 'SIGINT', () => !isInForeground());
  relay(child, 'SIGQUIT', () => !isInForeground());
  relay(child, 'SIGHUP', () => !isInForeground());
  relay(child, 'SIGTERM', () => true);
  relay(child, 'SIGUSR2', () => true);
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    // End the same way, so that whoever waits for us sees the signal.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    // Not every signal ends a process at once, or at all.
    setTimeout(() => process.exit(128 + (os.constants.signals[signal] || 0)), 100);
  });
}

function relay(child, signal, isOurs) {
  process.on(signal, () => {
    if (isOurs()) child.kill(signal);
  });
}

/** Whether we belong to the foreground group of a terminal, which is who gets its Ctrl-C. */
function isInForeground() {
  try {
    // proc(5): after the name in parentheses come state, ppid, pgrp, session, tty, foreground group of the tty.
    const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').pop().split(' ');
    return Number(fields[4]) !== 0 && fields[2] === fields[5];
  } catch {
    return Boolean(process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY);
  }
}

/** The Node of the optional package, by its folder: npm 10 makes no link to it in node_modules/.bin. */
function findNode() {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const old = `Gatehouse needs Node.js ${REQUIRED_MAJOR} or later, and this is ${process.versions.node}.`;
  const help = `Install Node.js ${REQUIRED_MAJOR} from https://nodejs.org/ and try again.`;
  let description;
  try {
    description = createRequire(self).resolve(`${name}/package.json`);
  } catch {
    fail(
      `${old} A copy of its own (the optional package ${name}) is not installed: run \`npm ci\` without ` +
        `--omit=optional, where your platform has one. Or: ${help}`,
    );
  }
  const { version } = JSON.parse(readFileSync(description, 'utf8'));
  const node = path.join(
    path.dirname(description),
    'bin',
    process.platform === 'win32' ? 'node.exe' : 'node',
  );
  if (major(version) < REQUIRED_MAJOR || !existsSync(node))
    fail(`${old} The package ${name} brings none. ${help}`);
  return node;
}

/** If the launcher is killed outright, so are we, as if we were one process: nothing is left behind unseen. */
function followLauncher() {
  const descriptor = process.env[LEASH];
  if (descriptor === undefined) return;
  delete process.env[LEASH];
  const leash = new Socket({ fd: Number(descriptor) });
  leash.on('error', () => {});
  leash.on('close', () => process.kill(process.pid, 'SIGKILL'));
  leash.resume();
  leash.unref();
}

/** Early releases of Node 24 call it experimental. Every other warning is shown. */
function hideTypeStrippingWarning() {
  const listeners = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name === 'ExperimentalWarning' && /type stripping/i.test(warning.message)) return;
    for (const listener of listeners) listener.call(process, warning);
  });
}

function major(version) {
  return Number.parseInt(version, 10);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(EXIT_MISUSED);
}
