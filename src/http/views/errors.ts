import type { Link } from './form.ts';
import type { RenderPage } from './page.ts';
import { shortReference, waitInWords } from './wording.ts';

/** Every page that ends a way: what happened, what to do, and the number by which support finds the cause. */
export interface ErrorProps {
  /** What happened, as a heading: "This link does not work". */
  title: string;
  /** For whom, or why, in one quiet sentence. */
  lead?: string | undefined;
  /** That nothing is lost, and what to do next. */
  advice: string;
  action?: Link | undefined;
  /** The request's id. */
  requestId?: string | undefined;
  /** The standard's error for whoever develops the application (RFC 6749 §4.1.2.1), folded away. */
  technical?: { code: string; description?: string | undefined } | undefined;
}

export interface ExpiredProps {
  /** How long an interaction lives. */
  lifetimeSeconds: number;
  /** The way back: the client's `initiate_login_uri` or `client_uri`. */
  client?: { name: string; url: string } | undefined;
  requestId?: string | undefined;
}

export interface RetryProps {
  retryAfterSeconds?: number | undefined;
  /** The page to load again (by GET). */
  retryUrl?: string | undefined;
  requestId?: string | undefined;
}

export interface CookiesDisabledProps {
  /** Where the sign-in can begin again: here it cannot, for the cookie came with the first redirect. */
  client?: { name: string; url: string } | undefined;
  requestId?: string | undefined;
}

export interface NotFoundProps {
  homeUrl?: string | undefined;
  requestId?: string | undefined;
}

export function renderError(renderPage: RenderPage, props: ErrorProps): string {
  return renderPage(
    'error/error',
    { title: props.title },
    { ...props, reference: props.requestId === undefined ? undefined : shortReference(props.requestId) },
  );
}

export function renderExpired(renderPage: RenderPage, props: ExpiredProps): string {
  const { client, lifetimeSeconds, requestId } = props;
  return renderError(renderPage, {
    title: 'This page has expired',
    lead: `You started signing in more than ${waitInWords(lifetimeSeconds)} ago, or in another tab.`,
    advice: `Nothing is wrong with your account. Go back to ${client?.name ?? 'the app'} and start again.`,
    action: client && { href: client.url, label: `Back to ${client.name}` },
    requestId,
  });
}

export function renderUnavailable(renderPage: RenderPage, props: RetryProps): string {
  return renderError(renderPage, {
    title: 'Sign-in is not available right now',
    lead: 'Something on our side is not working. It is being looked after.',
    advice: `Nothing is wrong with your account, and nothing is lost. ${tryAgain(props)}`,
    action: retryLink(props),
    requestId: props.requestId,
  });
}

/** An app is described by a document of its own (Client ID Metadata Document), and that cannot be read. */
export function renderAppUnreachable(renderPage: RenderPage, props: RetryProps): string {
  return renderError(renderPage, {
    title: 'We cannot find out what app this is',
    lead: 'The page on which it says so does not answer.',
    advice: `Nothing is wrong with your account. ${tryAgain(props)} If it stays like this, tell whoever looks after the app.`,
    action: retryLink(props),
    requestId: props.requestId,
  });
}

export function renderCookiesDisabled(
  renderPage: RenderPage,
  { client, requestId }: CookiesDisabledProps,
): string {
  return renderError(renderPage, {
    title: 'Your browser did not keep our cookie',
    lead: 'Signing in needs one, to know that each step comes from you.',
    advice: `Allow cookies for this site in your browser’s settings, or leave private browsing. Then go back to ${client?.name ?? 'the app'} and start again.`,
    action: client && { href: client.url, label: `Back to ${client.name}` },
    requestId,
  });
}

export function renderNotFound(renderPage: RenderPage, props: NotFoundProps): string {
  return renderError(renderPage, {
    title: 'There is no page here',
    lead: 'The address may be mistyped, or the page has moved.',
    advice: 'If you were signing in, go back to the app and start again. Nothing is lost.',
    action: props.homeUrl === undefined ? undefined : { href: props.homeUrl, label: 'Go to the start page' },
    requestId: props.requestId,
  });
}

function tryAgain({ retryAfterSeconds }: RetryProps): string {
  return `Try again in ${retryAfterSeconds === undefined ? 'a moment' : waitInWords(retryAfterSeconds)}.`;
}

function retryLink({ retryUrl }: RetryProps): Link | undefined {
  return retryUrl === undefined ? undefined : { href: retryUrl, label: 'Try again' };
}
