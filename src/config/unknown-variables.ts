import type { Problem } from './problem.ts';
import { settings } from './settings.ts';

/**
 * Names that Kubernetes puts into every container for a service called gatehouse, or gatehouse-something, in the same
 * namespace (Kubernetes documentation, "Service: environment variables").
 */
const serviceName =
  /^GATEHOUSE(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$/;
const servicePort = /^GATEHOUSE(_[A-Z0-9_]+)?_PORT$/;

/** Whether Kubernetes made this variable for a service, so that it says nothing about our settings. */
export function isServiceVariable(name: string, value: string): boolean {
  return serviceName.test(name) || (servicePort.test(name) && /^(tcp|udp|sctp):\/\//.test(value));
}

/** A problem for each `GATEHOUSE_…` variable that is no setting: a misspelt setting must not be ignored silently. */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): Problem[] {
  const known = settings.flatMap(({ environmentName }) =>
    environmentName === 'PORT' ? [environmentName] : [environmentName, `${environmentName}_FILE`],
  );
  return Object.entries(env)
    .filter(
      ([name, value]) =>
        value !== undefined &&
        name.startsWith('GATEHOUSE_') &&
        !name.startsWith('GATEHOUSE_TEST_') &&
        !known.includes(name) &&
        !isServiceVariable(name, value),
    )
    .map(([name]) => ({
      code: 'unknown_setting',
      setting: name,
      message: 'there is no such setting.',
      remedy: suggestion(name === 'GATEHOUSE_PORT' ? 'PORT' : closest(name, known)),
    }));
}

/** The remedy for a name that is no setting. */
export function suggestion(candidate: string | undefined): string {
  return candidate === undefined
    ? 'Remove it; docs/configuration.md lists every setting.'
    : `Did you mean ${candidate}?`;
}

/** The candidate that takes the fewest edits, if it is close enough to be what was meant. */
export function closest(name: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  const own = name.replace(/^GATEHOUSE_/, '');
  return best && best.distance <= Math.max(2, Math.floor(own.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein's distance: insertions, deletions and substitutions. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, left] of Array.from(a).entries()) {
    const current = [i + 1];
    for (const [j, right] of Array.from(b).entries()) {
      const substituted = (previous[j] ?? 0) + (left === right ? 0 : 1);
      current.push(Math.min(substituted, (previous[j + 1] ?? 0) + 1, (current[j] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
