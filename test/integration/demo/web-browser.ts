/**
 * A browser without a window that goes from site to site: it keeps cookies by host and not by port, as browsers do,
 * follows redirects wherever they lead, and says of its forms where they come from.
 */
export interface WebBrowser {
  open: (url: string) => Promise<WebPage>;
  /** Presses the button of the form with that action (a part of it). */
  press: (page: WebPage, action: string, fields?: Record<string, string>) => Promise<WebPage>;
  /** One request, without following anything. */
  request: (url: string, init?: RequestInit) => Promise<Response>;
  /** By host name, then by cookie name. */
  cookies: Map<string, Map<string, string>>;
}

export interface WebPage {
  url: URL;
  status: number;
  html: string;
  headers: Headers;
  /** Every address on the way, the first and the last among them. */
  visited: URL[];
}

const MAX_REDIRECTS = 20;

export function createWebBrowser(): WebBrowser {
  const cookies = new Map<string, Map<string, string>>();

  const jarOf = ({ hostname }: URL): Map<string, string> => {
    const jar = cookies.get(hostname) ?? new Map<string, string>();
    cookies.set(hostname, jar);
    return jar;
  };

  const request = async (address: string, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(address);
    const jar = jarOf(url);
    const headers = new Headers(init.headers);
    if (jar.size > 0) headers.set('cookie', [...jar].map((pair) => pair.join('=')).join('; '));
    if (!headers.has('accept')) headers.set('accept', 'text/html');
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const [name = '', ...value] = pair.split('=');
      const expires = /expires=([^;]+)/i.exec(line)?.[1];
      if (expires !== undefined && Date.parse(expires) <= Date.now()) jar.delete(name);
      else jar.set(name, value.join('='));
    }
    return response;
  };

  const follow = async (first: Response, from: URL): Promise<WebPage> => {
    let response = first;
    const visited = [from];
    for (let hop = 0; hop < MAX_REDIRECTS; hop += 1) {
      const url = visited.at(-1) as URL;
      const location = response.headers.get('location');
      if (location === null) {
        return {
          url,
          status: response.status,
          html: await response.text(),
          headers: response.headers,
          visited,
        };
      }
      const next = new URL(location, url);
      visited.push(next);
      response = await request(next.href);
    }
    throw new Error(`more than ${MAX_REDIRECTS} redirects, the last to ${visited.at(-1)?.href}`);
  };

  return {
    cookies,
    request,
    open: async (address) => follow(await request(address), new URL(address)),
    press: async (page, action, fields = {}) => {
      const form = formOf(page.html, action);
      const url = new URL(form.action, page.url);
      const response = await request(url.href, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          origin: page.url.origin,
          'sec-fetch-site': 'same-origin',
        },
        body: new URLSearchParams({ ...form.hidden, ...fields }).toString(),
      });
      return follow(response, url);
    },
  };
}

/** The text of a page, without markup: what the person reads. */
export function textOf({ html }: Pick<WebPage, 'html'>): string {
  return unescapeHtml(html.replaceAll(/<[^>]*>/g, ' ')).replaceAll(/\s+/g, ' ');
}

/** The JSON of the page's folded parts: the claims of the ID token, then userinfo. */
export function shownJson({ html }: Pick<WebPage, 'html'>): Record<string, unknown>[] {
  return [...html.matchAll(/<pre\b[^>]*>([\s\S]*?)<\/pre>/g)].map(
    ([, json = '']) => JSON.parse(unescapeHtml(json)) as Record<string, unknown>,
  );
}

function formOf(html: string, action: string): { action: string; hidden: Record<string, string> } {
  for (const [, attributes = '', body = ''] of html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)) {
    const target = unescapeHtml(/action="([^"]*)"/.exec(attributes)?.[1] ?? '');
    if (!target.includes(action)) continue;
    const hidden: Record<string, string> = {};
    for (const [input] of body.matchAll(/<input\b[^>]*type="hidden"[^>]*>/g)) {
      const name = unescapeHtml(/name="([^"]*)"/.exec(input)?.[1] ?? '');
      hidden[name] = unescapeHtml(/value="([^"]*)"/.exec(input)?.[1] ?? '');
    }
    return { action: target, hidden };
  }
  throw new Error(`no form whose action has "${action}" in:\n${html.slice(0, 3000)}`);
}

function unescapeHtml(text: string): string {
  const entities: Record<string, string> = {
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    '#34': '"',
    '#39': "'",
  };
  return text.replaceAll(/&(#?\w+);/g, (whole, name: string) => entities[name] ?? whole);
}
