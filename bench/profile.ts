/** Where a server's processor time went while something was measured, from the profile that it left (V8's own format). */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  /** Microseconds of the monotonic clock. */
  startTime: number;
  samples: number[];
  timeDeltas: number[];
}

export interface Share {
  where: string;
  /** Of the time that the processor worked in the window. */
  share: number;
}

export interface ProfileSummary {
  /** By package, or by our own folder. */
  places: Share[];
  functions: Share[];
}

const ROOT = path.join(import.meta.dirname, '..');

/** @returns undefined where the process left no profile */
export async function readProfile(directory: string, pid: number): Promise<CpuProfile | undefined> {
  const file = (await readdir(directory)).find(
    (name) => name.endsWith('.cpuprofile') && name.split('.').includes(String(pid)),
  );
  if (file === undefined) return undefined;
  return JSON.parse(await readFile(path.join(directory, file), 'utf8')) as CpuProfile;
}

/** @param window in microseconds of the monotonic clock */
export function summarise(
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  window: { from: number; to: number },
  { length = 25 }: { length?: number } = {},
): ProfileSummary {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const places = new Map<string, number>();
  const functions = new Map<string, number>();
  let total = 0;
  let at = startTime;
  for (const [index, id] of samples.entries()) {
    const spent = timeDeltas[index + 1] ?? 0;
    at += timeDeltas[index] ?? 0;
    const frame = frames.get(id);
    if (!frame || at < window.from || at > window.to || frame.functionName === '(idle)') continue;
    total += spent;
    const place = placeOf(frame);
    const name = `${frame.functionName || '(anonymous)'}  ${place}:${frame.lineNumber + 1}`;
    places.set(folderOf(place), (places.get(folderOf(place)) ?? 0) + spent);
    functions.set(name, (functions.get(name) ?? 0) + spent);
  }
  const largest = (times: Map<string, number>): Share[] =>
    [...times]
      .sort(([, a], [, b]) => b - a)
      .slice(0, length)
      .map(([where, time]) => ({ where, share: time / total }));
  return { places: largest(places), functions: largest(functions) };
}

function placeOf({ url, functionName }: { url: string; functionName: string }): string {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  return url.startsWith('file://') ? path.relative(ROOT, url.slice('file://'.length)) : url;
}

/** `src/audit`, `oidc-provider`, `node:crypto`, `(garbage collector)`. */
function folderOf(place: string): string {
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(place);
  if (inPackage) return inPackage[1] ?? place;
  if (place.startsWith('node:')) return place.split('/').slice(0, 2).join('/');
  return place.startsWith('src/') ? path.dirname(place) : place;
}

export function formatProfile(name: string, { places, functions }: ProfileSummary): string {
  const line = ({ where, share }: Share): string => `  ${(share * 100).toFixed(1).padStart(5)} %  ${where}`;
  return [
    `${name}, by place:`,
    ...places.map(line),
    `${name}, by function:`,
    ...functions.map(line),
    '',
  ].join('\n');
}
