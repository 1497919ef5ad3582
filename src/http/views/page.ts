/**
 * Turns a template and its data into a whole page. Templates are compiled once, at the first use, and see one
 * variable, `page`. Everything is escaped (`<%= %>`); `<%- %>` only ever includes another template. No page
 * carries an inline script or style: the content security policy refuses both.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ejs from 'ejs';

export interface Branding {
  name: string;
  privacyUrl?: string | undefined;
  termsUrl?: string | undefined;
}

export interface PageOptions {
  branding: Branding;
  /** The URL path below which the static files are served, without a trailing slash (`Assets.base`). */
  assetBase: string;
}

/** What the layout needs to know about a page. */
export interface Frame {
  /** The page's own title; the layout adds the brand. */
  title: string;
  /** Whether the page reports a refused input: its title then begins with "Error:". */
  isRefusal?: boolean;
  /** A page of a demo application: it shows that application's name and colour instead of ours. */
  application?: { name: string; accent: string };
  width?: 'card' | 'wide';
  /** Above the page: where else there is to go, and where one is. */
  navigation?: readonly { href: string; label: string; isCurrent: boolean }[];
}

/** Renders the body `views/<view>.ejs` with `model` inside the layout. */
export type RenderPage = (view: string, frame: Frame, model?: object) => string;

const viewsDirectory = join(import.meta.dirname, '../../../views');

export function createPageRenderer({ branding, assetBase }: PageOptions): RenderPage {
  const templates = new Map<string, ejs.TemplateFunction>();

  function render(view: string, page: object): string {
    let template = templates.get(view);
    if (!template) {
      template = compile(view);
      templates.set(view, template);
    }
    return template(page);
  }

  return (view, frame, model = {}) => {
    const shared = { brand: branding, assetBase, href: webAddress };
    const body = render(view, { ...model, ...shared, title: frame.title });
    const brand = frame.application?.name ?? branding.name;
    return render('layouts/page', {
      ...shared,
      body,
      heading: brand,
      documentTitle: `${frame.isRefusal ? 'Error: ' : ''}${frame.title} – ${brand}`,
      accent: frame.application?.accent,
      width: frame.width ?? 'card',
      navigation: frame.navigation,
    });
  };
}

function compile(view: string): ejs.TemplateFunction {
  const filename = join(viewsDirectory, `${view}.ejs`);
  return ejs.compile(readFileSync(filename, 'utf8'), {
    filename,
    root: viewsDirectory,
    cache: true,
    strict: true,
    localsName: 'page',
  });
}

/**
 * Escaping does not make `javascript:` harmless: what is not an address of the web, or a path of ours, leads
 * nowhere. Browsers read `\` as `/` and skip tabs and line ends, so an address with any of them is refused.
 */
function webAddress(address: string): string {
  return /^(?:https?:\/\/|otpauth:\/\/|\.{0,2}\/(?!\/)|[?#])[^\s\\]*$/iu.test(address) ? address : '#';
}
