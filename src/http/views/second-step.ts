import type { FormTarget, Message, Throttled } from './form.ts';
import type { RenderPage } from './page.ts';
import { inGroups, tooManyTries } from './wording.ts';

/** Why a code was not taken: not the right one (or spent), not a code at all (or nothing), or too many tries. */
export type CodeProblem = { kind: 'wrong' } | { kind: 'malformed' } | Throttled;

/** Posts `code`: the six digits of an authenticator app. */
export interface TotpProps extends FormTarget {
  clientName?: string | undefined;
  problem?: CodeProblem | undefined;
  /** The page that takes a recovery code instead; absent where the account has none left. */
  recoveryUrl?: string | undefined;
}

/** Posts `code`: one recovery code. */
export interface RecoveryCodeProps extends FormTarget {
  clientName?: string | undefined;
  problem?: CodeProblem | undefined;
  /** Back to the page that takes a code from the authenticator app. */
  totpUrl: string;
}

/** Posts `code`, which confirms that the app has the key. */
export interface TotpEnrolProps extends FormTarget {
  /** Who asks for a second step. */
  reason: { kind: 'client'; clientName: string } | { kind: 'account' };
  /** The key in base32; the page groups it. */
  key: string;
  /** The QR code as a `data:` URI (SVG or PNG), dark on white with its quiet zone. */
  qrCodeDataUri: string;
  /** The `otpauth://` address, for a person who reads this page on the telephone that has the app. */
  otpauthUri?: string | undefined;
  problem?: CodeProblem | undefined;
}

/** The form that continues posts only its hidden fields; so does `renew`, which makes new codes. */
export type RecoveryCodesProps = FormTarget &
  ({ kind: 'fresh'; codes: readonly string[] } | { kind: 'already-shown'; renew: FormTarget });

export function renderTotp(renderPage: RenderPage, props: TotpProps): string {
  const { problem } = props;
  return renderPage(
    'interaction/totp',
    { title: 'Enter your code', isRefusal: problem !== undefined },
    { ...props, ...codeWords(problem, 'totp') },
  );
}

export function renderRecoveryCode(renderPage: RenderPage, props: RecoveryCodeProps): string {
  const { problem } = props;
  return renderPage(
    'interaction/recovery-code',
    { title: 'Use a recovery code', isRefusal: problem !== undefined },
    { ...props, ...codeWords(problem, 'recovery') },
  );
}

export function renderTotpEnrol(renderPage: RenderPage, props: TotpEnrolProps): string {
  const { problem, reason } = props;
  return renderPage(
    'interaction/totp-enrol',
    { title: 'Set up an authenticator app', isRefusal: problem !== undefined },
    {
      ...props,
      ...codeWords(problem, 'totp'),
      asker: reason.kind === 'client' ? reason.clientName : 'Your account',
      keyGroups: inGroups(props.key).split(' '),
    },
  );
}

export function renderRecoveryCodes(renderPage: RenderPage, props: RecoveryCodesProps): string {
  if (props.kind === 'already-shown') {
    return renderPage('interaction/recovery-codes-shown', { title: 'Your recovery codes were shown' }, props);
  }
  return renderPage(
    'interaction/recovery-codes',
    { title: 'Save your recovery codes' },
    { ...props, codes: props.codes.map((code) => inGroups(code, '-')) },
  );
}

interface CodeWords {
  message?: Message;
  fieldError?: string;
}

function codeWords(problem: CodeProblem | undefined, kind: keyof typeof refusals): CodeWords {
  if (problem === undefined) return {};
  if (problem.kind === 'throttled') return { message: tooManyTries(problem) };
  const { fieldError, ...words } = refusals[kind][problem.kind];
  return { message: { tone: 'danger', ...words }, fieldError };
}

const refusals = {
  totp: {
    wrong: {
      title: 'That code did not work.',
      text: 'A code works once, for about 30 seconds. Wait for the next one and enter it.',
      fieldError: 'Enter a new code',
    },
    malformed: {
      title: 'A code has six digits.',
      text: 'Enter all six, as the app shows them.',
      fieldError: 'Enter six digits',
    },
  },
  recovery: {
    wrong: {
      title: 'That recovery code did not work.',
      text: 'Each one works once. Check it against your list, or use another.',
      fieldError: 'Enter a code you have not used',
    },
    malformed: {
      title: 'That is not a whole recovery code.',
      text: 'Enter one line from your list. Dashes and spaces do not matter.',
      fieldError: 'Enter one whole code from your list',
    },
  },
} as const;
