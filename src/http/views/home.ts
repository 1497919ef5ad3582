import type { RenderPage } from './page.ts';

export interface HomeProps {
  /** Shown in the development profile only. */
  development?: Development | undefined;
}

export interface Development {
  apps: readonly { name: string; url: string; description: string }[];
  /** Where the documentation is: a path in the repository. */
  documentationPath: string;
  /** The discovery document (OIDC Discovery §4). */
  discoveryUrl: string;
}

export function renderHome(renderPage: RenderPage, brandName: string, props: HomeProps): string {
  return renderPage('home/home', { title: `This is ${brandName}` }, props);
}
