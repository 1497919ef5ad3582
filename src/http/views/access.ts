import type { FormTarget, Message } from './form.ts';
import type { RenderPage } from './page.ts';

/** The main form goes back to the application, which is told `access_denied`. */
export interface AccessDeniedProps extends FormTarget {
  clientName: string;
  /** The role that the application requires. */
  role: string;
  /** Who is signed in: the account's e-mail. */
  accountEmail: string;
  /** Signs out here and asks for another account. */
  switchAccount: FormTarget;
}

/** Posts `decision`: `allow` or `deny`. */
export interface ConsentProps extends FormTarget {
  clientName: string;
  /** The host of the application, as a person knows it from the address bar. */
  clientHost?: string | undefined;
  accountEmail: string;
  /** What a person should know before they decide. */
  message?: Message | undefined;
  items: readonly ConsentItem[];
  /** Where a person withdraws it later; without it the page does not promise that. */
  accountUrl?: string | undefined;
}

/** One thing the application will see or do: "Your e-mail address", with the address below it. */
export interface ConsentItem {
  title: string;
  details: readonly string[];
  /** What exactly: "Amount", with the amount beside it. */
  rows?: readonly { label: string; values: readonly string[] }[];
}

export function renderAccessDenied(renderPage: RenderPage, props: AccessDeniedProps): string {
  return renderPage('interaction/access-denied', { title: `You cannot open ${props.clientName} yet` }, props);
}

export function renderConsent(renderPage: RenderPage, props: ConsentProps): string {
  return renderPage('interaction/consent', { title: `Allow ${props.clientName}?` }, props);
}
