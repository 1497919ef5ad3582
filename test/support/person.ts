/**
 * A person with a browser that knows cookies, redirects and forms, and nothing else: quick enough to sign in a hundred
 * times in one test. What needs a real browser is under e2e/.
 */
export interface Person {
  /** Follows redirects until a page, or an address that is not the issuer's: the application's callback. */
  open: (url: string) => Promise<Visited>;
  /** Fills in the form with that action (a part of it) and sends it, then follows redirects. */
  submit: (page: Visited, fields: Record<string, string>, action?: string) => Promise<Visited>;
  /** One request without following anything. */
  request: (url: string, init?: RequestInit) => Promise<Response>;
  cookies: Map<string, Cookie>;
}

export interface Visited {
  url: URL;
  status: number;
  headers: Headers;
  html: string;
  /** True when the redirects left the issuer. */
  isAway: boolean;
}

interface Cookie {
  value: string;
  path: string;
}

const MAX_REDIRECTS = 20;
const PATIENCE_MS = 30_000;

export function createPerson(issuer: string, { connectTo = issuer }: { connectTo?: string } = {}): Person {
  const cookies = new Map<string, Cookie>();
  const { origin } = new URL(issuer);

  const request = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const target = new URL(url, issuer);
    const headers = new Headers(init.headers);
    const own = [...cookies]
      .filter(
        ([, { path }]) =>
          target.pathname === path || target.pathname.startsWith(path.endsWith('/') ? path : `${path}/`),
      )
      .map(([key, { value }]) => `${key.split(';')[0]}=${value}`);
    if (own.length > 0) headers.set('cookie', own.join('; '));
    if (!headers.has('accept')) headers.set('accept', 'text/html');
    const response = await fetch(new URL(target.pathname + target.search, connectTo), {
      signal: AbortSignal.timeout(PATIENCE_MS),
      ...init,
      headers,
      redirect: 'manual',
    });
    for (const line of response.headers.getSetCookie()) remember(line, target);
    return response;
  };

  const remember = (line: string, from: URL): void => {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
    const [name = '', ...value] = pair.split('=');
    const path = attributes.find((a) => a.toLowerCase().startsWith('path='))?.slice(5) ?? from.pathname;
    const expires = attributes.find((a) => a.toLowerCase().startsWith('expires='))?.slice(8);
    const key = `${name};${path}`;
    if (expires && Date.parse(expires) <= Date.now()) cookies.delete(key);
    else cookies.set(key, { value: value.join('='), path });
  };

  const follow = async (start: Response, from: string): Promise<Visited> => {
    let response = start;
    let url = new URL(from, issuer);
    for (let hop = 0; hop < MAX_REDIRECTS; hop += 1) {
      const location = response.headers.get('location');
      const { status, headers } = response;
      if (!location) return { url, status, headers, html: await response.text(), isAway: false };
      url = new URL(location, url);
      if (url.origin !== origin) return { url, status, headers, html: '', isAway: true };
      response = await request(url.href);
    }
    throw new Error(`more than ${MAX_REDIRECTS} redirects, the last to ${url.href}`);
  };

  return {
    cookies,
    request,
    open: async (url) => follow(await request(url), url),
    submit: async (page, fields, action = '') => {
      const form = findForm(page.html, action);
      const url = new URL(form.action, page.url);
      const response = await request(url.href, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin },
        body: new URLSearchParams({ ...form.hidden, ...fields }).toString(),
      });
      return follow(response, url.href);
    },
  };
}

function findForm(html: string, action: string): { action: string; hidden: Record<string, string> } {
  for (const [, attributes = '', body = ''] of html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)) {
    const target = unescapeHtml(/action="([^"]*)"/.exec(attributes)?.[1] ?? '');
    if (!target.includes(action)) continue;
    const hidden: Record<string, string> = {};
    for (const [input] of body.matchAll(/<input\b[^>]*type="hidden"[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(input)?.[1];
      if (name) hidden[unescapeHtml(name)] = unescapeHtml(/value="([^"]*)"/.exec(input)?.[1] ?? '');
    }
    return { action: target, hidden };
  }
  throw new Error(`no form whose action has "${action}" in:\n${html.slice(0, 2000)}`);
}

function unescapeHtml(text: string): string {
  const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#34': '"', '#39': "'" };
  return text.replaceAll(/&(#?\w+);/g, (whole, name: string) => entities[name] ?? whole);
}
