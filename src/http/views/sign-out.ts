import type { FormTarget } from './form.ts';
import type { RenderPage } from './page.ts';

/** The first button posts `logout=yes`; the second posts nothing of its own and keeps the session. */
export interface LogoutProps extends FormTarget {
  /** The application that asked for it. */
  clientName?: string | undefined;
  accountEmail?: string | undefined;
}

export interface SignedOutProps {
  /** Of every session, not of this browser's alone. */
  isEverywhere?: boolean | undefined;
  /** The person chose to stay: at most the application that asked is left. */
  isStillSignedIn?: boolean | undefined;
  /** Pages of applications that are loaded unseen, and where the person then goes. */
  onward?: { url: string; clientName?: string | undefined; frames: readonly { url: string; clientName: string }[] };
  /** The way back; both or neither. */
  client?: { name: string; url: string } | undefined;
}

export function renderLogout(renderPage: RenderPage, props: LogoutProps): string {
  return renderPage('interaction/logout', { title: 'Sign out?' }, props);
}

export function renderSignedOut(renderPage: RenderPage, props: SignedOutProps): string {
  const title = props.isStillSignedIn ? 'You are still signed in' : 'You are signed out';
  return renderPage('interaction/signed-out', { title }, props);
}
