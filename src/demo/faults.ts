/** What went wrong, in the person's words: what happened, that nothing is lost, what to do next. */
import { AuthorizationResponseError, ResponseBodyError, WWWAuthenticateChallengeError } from 'openid-client';

import { AppError } from '../platform/errors.ts';

export interface Fault {
  /** HTTP status of the page. */
  status: number;
  title: string;
  advice: string;
  action: { href: string; label: string };
  /** As the issuer sent it, or our own code. */
  technical: { code: string; description?: string };
}

export interface Names {
  application: string;
  issuer: string;
}

interface Words {
  status: number;
  title: (names: Names) => string;
  advice: (names: Names) => string;
  action?: 'start-again' | 'back' | 'stay';
}

const ACTIONS = {
  'start-again': { href: '/login', label: 'Start again' },
  back: { href: '/', label: 'Back to the start' },
  stay: { href: '/', label: 'Try again' },
} as const;

const COULD_NOT_ANSWER: Words = {
  status: 503,
  title: ({ issuer }) => `${issuer} cannot answer now`,
  advice: () => 'Nothing is lost. Wait a few seconds and try again.',
  action: 'stay',
};

const WAITED_TOO_LONG: Words = {
  status: 400,
  title: () => 'This sign-in was used already',
  advice: () => 'It works once, and only for a minute. Nothing is lost: start again.',
};

const NOT_REGISTERED: Words = {
  status: 502,
  title: ({ issuer, application }) => `${issuer} does not know ${application}`,
  advice: ({ issuer, application }) =>
    `The registration of ${application} was changed or removed since it started. Restart ${issuer}: it registers its demo apps anew.`,
  action: 'back',
};

const QUESTION_OPEN: Words = {
  status: 400,
  title: ({ issuer }) => `${issuer} has a question for you`,
  advice: ({ application }) => `${application} asked to go on without one. Start again to answer it.`,
};

const NO_LONGER_ACCEPTED: Words = {
  status: 401,
  title: () => 'Your sign-in has ended',
  advice: ({ issuer }) => `${issuer} no longer accepts it. Start again to sign in.`,
};

/** By the codes of RFC 6749 §4.1.2.1 and §5.2, OIDC Core §3.1.2.6, RFC 6750 §3.1, and our own. */
const WORDS: Record<string, Words> = {
  access_denied: {
    status: 403,
    title: () => 'You were not signed in',
    advice: ({ issuer, application }) =>
      `${issuer} answered that you chose not to allow it, or that you may not open ${application}. If you think you should, ask your administrator.`,
    action: 'back',
  },
  temporarily_unavailable: COULD_NOT_ANSWER,
  server_error: COULD_NOT_ANSWER,
  invalid_grant: WAITED_TOO_LONG,
  invalid_client: NOT_REGISTERED,
  unauthorized_client: NOT_REGISTERED,
  login_required: QUESTION_OPEN,
  interaction_required: QUESTION_OPEN,
  consent_required: QUESTION_OPEN,
  account_selection_required: QUESTION_OPEN,
  invalid_token: NO_LONGER_ACCEPTED,

  unknown_sign_in: {
    status: 400,
    title: () => 'This sign-in was not started here',
    advice: ({ application }) =>
      `It came from an old tab or from another browser, or this browser blocks the cookie of ${application}. Nothing was done. Start again.`,
  },
  wrong_issuer: {
    status: 400,
    title: ({ application }) => `${application} does not sign in there`,
    advice: ({ application, issuer }) =>
      `The link that led here names another service. ${application} signs in with ${issuer} only.`,
    action: 'back',
  },
  unreadable_link: {
    status: 400,
    title: () => 'This link is not complete',
    advice: ({ application }) => `It was changed on its way. Open ${application} and sign in from there.`,
    action: 'back',
  },
  cross_site_request: {
    status: 403,
    title: () => 'Nothing was done',
    advice: ({ application }) => `Another site sent this form. Open ${application} and use its own buttons.`,
    action: 'back',
  },
  nothing_to_refresh: {
    status: 400,
    title: () => 'There is nothing to refresh',
    advice: ({ issuer }) => `${issuer} gave no refresh token with this sign-in.`,
    action: 'back',
  },
  not_found: {
    status: 404,
    title: () => 'There is nothing here',
    advice: ({ application }) => `The address is mistyped, or it is no page of ${application}.`,
    action: 'back',
  },
  issuer_unreachable: {
    status: 502,
    title: ({ issuer }) => `${issuer} cannot be reached`,
    advice: () => 'It may still be starting, or it was stopped. Try again in a few seconds.',
    action: 'stay',
  },
  answer_refused: {
    status: 502,
    title: ({ issuer }) => `The answer of ${issuer} was refused`,
    advice: ({ application }) =>
      `${application} checks every answer, and this one did not pass, so nobody was signed in. Start again.`,
  },
  application_fault: {
    status: 500,
    title: () => 'Something went wrong',
    advice: ({ application }) => `It is the fault of ${application}, not yours. Start again.`,
    action: 'back',
  },
};

const FROM_THE_ISSUER: Words = {
  status: 502,
  title: ({ issuer }) => `${issuer} refused the request`,
  advice: ({ application }) => `Nobody was signed in to ${application}. Start again.`,
};

export function describeFault(error: unknown, names: Names): Fault {
  const technical = technicalOf(error);
  const words = WORDS[technical.code] ?? FROM_THE_ISSUER;
  return {
    status: words.status,
    title: words.title(names),
    advice: words.advice(names),
    action: ACTIONS[words.action ?? 'start-again'],
    technical,
  };
}

/** The code of an error that the issuer sent, wherever it sent it; undefined for everything else. */
export function issuerErrorCode(error: unknown): string | undefined {
  if (error instanceof AuthorizationResponseError || error instanceof ResponseBodyError) return error.error;
  if (error instanceof WWWAuthenticateChallengeError) {
    return error.cause[0]?.parameters['error'] ?? 'invalid_token';
  }
  return undefined;
}

function technicalOf(error: unknown): Fault['technical'] {
  const code = issuerErrorCode(error);
  if (code !== undefined) {
    const { error_description: description } = error as { error_description?: string };
    return { code, ...(description === undefined ? {} : { description }) };
  }
  if (error instanceof AppError) return { code: error.code, description: error.message };
  const codes = codesOf(error);
  if (codes.includes('OAUTH_RESPONSE_IS_NOT_CONFORM')) return { code: 'temporarily_unavailable' };
  if (codes.some((found) => UNREACHABLE.test(found))) return { code: 'issuer_unreachable' };
  if (codes.some((found) => found.startsWith('OAUTH_'))) {
    return { code: 'answer_refused', description: (error as Error).message };
  }
  return { code: 'application_fault' };
}

/** The system's network errors, those of Node's fetch, and a time-out; `fetch` hides them in its error's causes. */
const UNREACHABLE = /^(?:E[A-Z]+|EAI_[A-Z]+|UND_ERR_\w+|OAUTH_TIMEOUT)$/;

const MAX_DEPTH = 5;

function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  let current = error as { code?: unknown; cause?: unknown } | undefined | null;
  for (let depth = 0; depth < MAX_DEPTH && typeof current === 'object' && current !== null; depth += 1) {
    if (typeof current.code === 'string') codes.push(current.code);
    current = current.cause as typeof current;
  }
  return codes;
}
