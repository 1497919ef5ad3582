/** Why the server does not start as it is set up, told so that the operator can put it right without reading code. */
export interface Problem {
  /** Stable, snake_case, for machines. */
  code: string;
  /** The setting as the operator wrote it, or would write it: `GATEHOUSE_ISSUER`, `ttl.parSeconds in config/production.json`. */
  setting?: string;
  /** One sentence: what is wrong. Never holds the value of a secret. */
  message: string;
  /** One sentence: what to do. */
  remedy: string;
}

/** All problems as text for a terminal. */
export function formatProblems(problems: readonly Problem[]): string {
  const heading =
    problems.length === 1 ? '1 problem with the set-up:' : `${problems.length} problems with the set-up:`;
  const items = problems.map(({ setting, message, remedy }) => {
    const subject = setting === undefined ? '' : `${setting}: `;
    return `  - ${subject}${message}\n    ${remedy}`;
  });
  return [heading, ...items].join('\n');
}
