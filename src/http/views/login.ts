import type { FormTarget, Message, Throttled } from './form.ts';
import type { RenderPage } from './page.ts';
import { tooManyTries, waitInWords } from './wording.ts';

export type LoginProblem =
  | { kind: 'refused' }
  | { kind: 'incomplete'; missing: readonly ('identifier' | 'password')[] }
  | { kind: 'busy'; retryAfterSeconds: number }
  | Throttled;

/** Posts `identifier` and `password`. */
export interface LoginProps extends FormTarget {
  /** The application the person came from; absent outside an authorization request. */
  clientName?: string | undefined;
  /** What was typed before, or the `login_hint`. */
  identifier?: string | undefined;
  /** A calm line above the form, such as "Sign in again to continue". */
  notice?: string | undefined;
  problem?: LoginProblem | undefined;
  /** Where a forgotten password is reset; without it there is no such link. */
  resetUrl?: string | undefined;
}

export function renderLogin(renderPage: RenderPage, props: LoginProps): string {
  const { problem, identifier = '' } = props;
  const errors = fieldErrors(problem);
  const marked = problem?.kind === 'refused' || problem?.kind === 'incomplete';
  return renderPage(
    'interaction/login',
    { title: 'Sign in', isRefusal: problem !== undefined },
    {
      ...props,
      identifier,
      message: problem ? wordsFor(problem, identifier) : noticeOf(props.notice),
      errors,
      isIdentifierWrong: problem?.kind === 'refused' || errors.identifier !== undefined,
      focus: (marked ? errors.identifier !== undefined : identifier === '') ? 'identifier' : 'password',
    },
  );
}

function wordsFor(problem: LoginProblem, identifier: string): Message {
  if (problem.kind === 'refused') {
    return {
      tone: 'danger',
      title: `That ${identifier.includes('@') ? 'e-mail' : 'user name'} and password do not match.`,
      text: 'Check both and try again.',
    };
  }
  if (problem.kind === 'incomplete') {
    return { tone: 'danger', title: `Enter ${problem.missing.map((name) => fieldNames[name]).join(' and ')}.` };
  }
  if (problem.kind === 'throttled') return tooManyTries(problem);
  return {
    tone: 'notice',
    title: 'Many people are signing in right now.',
    text: `Nothing is wrong with your account. Try again in ${waitInWords(problem.retryAfterSeconds)}.`,
  };
}

const fieldNames = { identifier: 'your e-mail or user name', password: 'your password' };

function fieldErrors(problem: LoginProblem | undefined): { identifier?: string; password?: string } {
  if (problem?.kind === 'refused') return { password: 'Enter your password again' };
  if (problem?.kind !== 'incomplete') return {};
  return {
    ...(problem.missing.includes('identifier') && { identifier: `Enter ${fieldNames.identifier}` }),
    ...(problem.missing.includes('password') && { password: `Enter ${fieldNames.password}` }),
  };
}

function noticeOf(notice: string | undefined): Message | undefined {
  return notice === undefined ? undefined : { tone: 'notice', title: notice };
}
