import { describe, expect, it } from '@jest/globals';
import type { Renderer } from '../../../src/http/render.ts';
import { createRenderer } from '../../../src/http/render.ts';
import { pageStates } from '../../support/page-states.ts';

const hostile = `"'><img src=x onerror=alert(1)>&`;
const escaped = '&#34;&#39;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;';

const renderer = createRenderer({
  branding: { name: hostile, privacyUrl: hostile, termsUrl: hostile },
  assetBase: '/assets/x',
});

/** The renderer, but every string that a page is given is hostile, except the words that choose its state. */
const hostileRenderer = Object.fromEntries(
  Object.entries(renderer).map(([view, render]) => [view, (props: unknown) => apply(render, poison(props))]),
) as unknown as Renderer;

function apply(render: unknown, props: unknown): string {
  return (render as (props: unknown) => string)(props);
}

const choices = new Set(['kind', 'accent', 'missing']);

function poison(value: unknown, name?: string): unknown {
  if (name !== undefined && choices.has(name)) return value;
  if (typeof value === 'string') return hostile;
  if (Array.isArray(value)) return value.map((item: unknown) => poison(item));
  if (value === null || typeof value !== 'object' || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, poison(item, key)]));
}

describe('pages', () => {
  it.each(pageStates)('escape every string they are given: $name', ({ html }) => {
    const page = html(hostileRenderer);
    expect(page).toContain(escaped);
    expect(page).not.toContain(`"'>`);
    expect(page).not.toContain('<img src=x');
  });

  it.each(pageStates)('carry no inline script, style or handler: $name', ({ html }) => {
    const page = html(renderer);
    expect(page.match(/<script/gu)).toHaveLength(1);
    expect(page).toMatch(/<script src="\/assets\/x\/gatehouse\.js" defer><\/script>/u);
    expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+="/u);
  });

  it.each(pageStates)('put the affirmative button first and post every form: $name', ({ html }) => {
    const page = html(renderer);
    for (const [form] of page.matchAll(/<form[^]*?<\/form>/gu)) {
      expect(form).toMatch(/^<form (?:class="[a-z-]+" )?method="post" action="\//u);
      const submits = form.match(/<button class="[^"]*" type="submit"/gu) ?? [];
      expect(submits.length).toBeGreaterThan(0);
      const isPrimary = submits.map((button) => button.includes('button-primary'));
      expect(isPrimary.slice(1)).not.toContain(true);
    }
    expect(page.match(/button-primary/gu)?.length ?? 0).toBeLessThanOrEqual(1);
  });

  it('carry the hidden fields of their forms', () => {
    const page = renderer.logout({ action: '/end', hidden: [{ name: 'xsrf', value: 's3cr3t' }] });
    expect(page).toContain('<input type="hidden" name="xsrf" value="s3cr3t">');
    expect(page).toMatch(/type="submit" name="logout" value="yes"[^]*type="submit"/u);
  });

  it.each([
    'javascript:alert(1)',
    ' javascript:alert(1)',
    'data:text/html,x',
    '//evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    'vbscript:x',
  ])('lead nowhere for an address that is not one of the web: %p', (href) => {
    const page = renderer.error({ title: 'T', advice: 'A', action: { href, label: 'Go' } });
    expect(page).toContain('href="#">Go</a>');
  });

  it('never repeat a password or a code', () => {
    const page = renderer.login({ action: '/', identifier: 'ada', problem: { kind: 'refused' } });
    expect(page.match(/<input[^>]*type="password"[^>]*>/u)?.[0]).not.toContain('value=');
    expect(page).toContain('value="ada"');
  });

  it('show the short reference and keep the whole request id in the markup', () => {
    const page = renderer.notFound({ requestId: '0198c7a2-5b1e-7c34-9d0a-51f27f3c92ad' });
    expect(page).toMatch(/<data [^>]*value="0198c7a2-5b1e-7c34-9d0a-51f27f3c92ad"[^>]*>7F3C-92AD<\/data>/u);
  });

  it('say the same of every account that has to wait', () => {
    const problem = { kind: 'throttled', retryAfterSeconds: 95 } as const;
    expect(renderer.login({ action: '/', problem })).toContain('Try again in 2 minutes.');
  });
});
