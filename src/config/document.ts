import { settings, type Setting } from './settings.ts';

const introduction = `# Configuration

<!-- Written by \`gatehouse config docs\` from src/config/schema.ts; a test keeps it current. Do not edit. -->

Each setting is read from, the later winning over the earlier:

1. its default, which \`config/default.json\` lists;
2. \`config/<profile>.json\`, where the profile is \`GATEHOUSE_ENV\`: \`development\` (the default) or \`production\`;
3. its environment variable;
4. its environment variable with \`_FILE\` added: the name of a file that holds the value, as container platforms give secrets. White space around it is removed. Giving both is an error.

Numbers are whole. Booleans are \`true\` or \`false\` (also \`yes\`, \`no\`, \`on\`, \`off\`, \`1\`, \`0\`). Lists are separated by commas, in a file also by line breaks. An empty variable is as good as none. A \`GATEHOUSE_\` variable that is no setting is an error, except the names that Kubernetes makes up for services.

\`gatehouse config check\` shows the effective values, with secrets masked and the origin of each.
`;

const groupTitles: Readonly<Record<string, string>> = {
  '': 'Server',
  database: 'PostgreSQL',
  redis: 'Redis',
  startup: 'Start',
  shutdown: 'Stop',
  tls: 'TLS that ends here',
  mtls: 'Certificates of clients',
  dpop: 'DPoP',
  log: 'Log',
  metrics: 'Metrics',
  password: 'Passwords',
  mfa: 'Second factors',
  throttle: 'Throttling of sign-ins',
  ttl: 'Lifetimes',
  polling: 'Waiting for an answer',
  approvals: 'Asking people without their browser',
  refresh: 'Refresh tokens',
  audit: 'Audit log',
  keys: 'Signing keys',
  signOut: 'Signing out',
  registration: 'Clients that nobody registered',
  outgoing: 'Requests that this server makes',
  branding: 'Branding',
};

/** `docs/configuration.md`, formatted as Prettier would. */
export function documentSettings(): string {
  const groups = Map.groupBy(settings, ({ path }) => (path.includes('.') ? (path.split('.')[0] ?? '') : ''));
  const sections = [...groups].map(([group, members]) => {
    const rows = members.map((setting) => [
      `\`${setting.environmentName}\``,
      `\`${setting.path}\``,
      typeOf(setting),
      defaultOf(setting),
      setting.description,
    ]);
    return `## ${groupTitles[group] ?? group}\n\n${table(['Variable', 'In files', 'Type', 'Default', 'Meaning'], rows)}\n`;
  });
  return [introduction, ...sections].join('\n');
}

function typeOf(setting: Setting): string {
  if (setting.secrecy === 'hidden') return setting.kind === 'list' ? 'list, secret' : 'text, secret';
  if (setting.secrecy === 'url') return 'URL, secret';
  if (setting.kind === 'choice') return setting.choices.map((choice) => `\`${choice}\``).join(', ');
  return setting.kind;
}

function defaultOf({ defaultValue, derived }: Setting): string {
  if (defaultValue === undefined) return derived ?? 'not set';
  if (Array.isArray(defaultValue))
    return defaultValue.length === 0 ? 'empty' : `\`${defaultValue.join(',')}\``;
  return `\`${String(defaultValue)}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
