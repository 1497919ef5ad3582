import type { RenderPage } from './page.ts';

export interface HomeProps {
  /** Who is signed in here, and how many requests of apps wait for them. */
  account?: { email: string; waiting: number; url: string } | undefined;
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
