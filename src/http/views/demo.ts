import type { FormTarget, Link } from './form.ts';
import type { RenderPage } from './page.ts';
import { instantInWords, shortReference } from './wording.ts';

/** A demo application has its own name and colour: it is another site than the identity provider. */
export interface DemoApplication {
  name: string;
  accent: 'ledger' | 'atlas';
  /** What it pretends to be for: "Invoices and bookkeeping". */
  description: string;
}

export interface DemoHomeProps {
  application: DemoApplication;
  /** The issuer's name, as in "Sign in with Gatehouse". */
  issuerName: string;
  signIn: FormTarget;
  notice?: string | undefined;
  /** The other demo application. */
  other?: Link | undefined;
}

export interface DemoSessionProps {
  application: DemoApplication;
  issuerName: string;
  /** The person's name or e-mail from userinfo. */
  signedInAs?: string | undefined;
  /** What `openid-client` validated; the times are instants. */
  idToken: {
    issuer: string;
    subject: string;
    roles: readonly string[];
    amr: readonly string[];
    acr?: string | undefined;
    authTime?: Date | undefined;
    issuedAt?: Date | undefined;
    expiresAt: Date;
  };
  /** All claims of the ID token, for the folded JSON. */
  claims: object;
  userinfo: object;
  /** What the last button did: "The tokens were refreshed." */
  notice?: string | undefined;
  /** Absent without a refresh token. */
  refresh?: FormTarget | undefined;
  /** Asks the issuer for `acr_values=aal2`; absent where it is reached. */
  stepUp?: FormTarget | undefined;
  signOut: FormTarget;
  other?: Link | undefined;
}

export interface DemoErrorProps {
  application: DemoApplication;
  title: string;
  advice: string;
  /** The error and its description as the issuer sent them (RFC 6749 §4.1.2.1). */
  technical?: { code: string; description?: string | undefined } | undefined;
  action?: Link | undefined;
  requestId?: string | undefined;
}

export function renderDemoHome(renderPage: RenderPage, props: DemoHomeProps): string {
  const { application } = props;
  return renderPage('demo/home', { title: `Welcome to ${application.name}`, application }, props);
}

export function renderDemoSession(renderPage: RenderPage, props: DemoSessionProps): string {
  const { application, idToken } = props;
  return renderPage(
    'demo/session',
    { title: 'You are signed in', application, width: 'wide' },
    {
      ...props,
      rows: [
        { name: 'Issuer', claim: 'iss', values: [idToken.issuer] },
        { name: 'Subject', claim: 'sub', values: [idToken.subject] },
        { name: 'Roles', claim: 'roles', values: idToken.roles },
        { name: 'Ways you signed in', claim: 'amr', values: idToken.amr },
        { name: 'Assurance', claim: 'acr', values: idToken.acr === undefined ? [] : [idToken.acr] },
        { name: 'Signed in at', claim: 'auth_time', time: timeOf(idToken.authTime) },
        { name: 'Issued at', claim: 'iat', time: timeOf(idToken.issuedAt) },
        { name: 'Expires at', claim: 'exp', time: timeOf(idToken.expiresAt) },
      ],
      claimsJson: JSON.stringify(props.claims, undefined, 2),
      userinfoJson: JSON.stringify(props.userinfo, undefined, 2),
    },
  );
}

export function renderDemoError(renderPage: RenderPage, props: DemoErrorProps): string {
  const { application, title, requestId } = props;
  return renderPage(
    'error/error',
    { title, application },
    { ...props, reference: requestId === undefined ? undefined : shortReference(requestId) },
  );
}

function timeOf(instant: Date | undefined): { exact: string; words: string } | undefined {
  return instant && { exact: instant.toISOString(), words: instantInWords(instant) };
}
