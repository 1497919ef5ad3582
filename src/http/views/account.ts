import type { ConsentItem } from './access.ts';
import type { Message } from './form.ts';
import type { RenderPage } from './page.ts';
import { instantInWords, waitInWords } from './wording.ts';

/** Around every page of a person's own account. */
export interface AccountFrame {
  accountEmail: string;
  navigation: readonly { href: string; label: string; isCurrent: boolean }[];
}

export type ApprovalAnswered = 'approved' | 'denied' | 'gone' | 'role-missing';

export interface ApprovalsProps extends AccountFrame {
  now: Date;
  /** The oldest first. */
  requests: readonly ApprovalItem[];
  /** What became of the form that was sent last. */
  answered?: ApprovalAnswered | undefined;
}

/** One request. Its form posts `decision`: `approve` or `deny`. */
export interface ApprovalItem {
  action: string;
  clientName: string;
  /** Words that the app shows the person as well, so that they see it is the same. */
  bindingMessage?: string | undefined;
  items: readonly ConsentItem[];
  askedAt: Date;
  endsAt: Date;
  /** What is to be done before it can be approved; a role that is missing leaves declining. */
  obstacle?: { kind: 'sign-in' } | { kind: 'role-missing'; role: string } | undefined;
}

export function renderApprovals(renderPage: RenderPage, props: ApprovalsProps): string {
  const { now, requests, answered, navigation } = props;
  const title = requests.length === 0 ? 'Nothing waits for you' : 'Approve a request?';
  return renderPage('account/approvals', { title, navigation }, {
    ...props,
    ...(answered === undefined ? {} : { message: messageFor(answered) }),
      requests: requests.map((request, index) => withTimes(request, `request-${index + 1}`, now)),
    },
  );
}

function withTimes(request: ApprovalItem, id: string, now: Date): object {
  const { askedAt, endsAt } = request;
  return {
    ...request,
    id,
    asked: momentOf(askedAt, `${waitInWords((now.getTime() - askedAt.getTime()) / 1000)} ago`),
    ends: momentOf(endsAt, `in ${waitInWords((endsAt.getTime() - now.getTime()) / 1000)}`),
  };
}

function momentOf(instant: Date, words: string): { exact: string; title: string; words: string } {
  return { exact: instant.toISOString(), title: instantInWords(instant), words };
}

function messageFor(answered: ApprovalAnswered): Message {
  switch (answered) {
    case 'approved':
      return { tone: 'done', title: 'Approved.', text: 'The app goes on by itself. You can close this page.' };
    case 'denied':
      return { tone: 'done', title: 'Declined.', text: 'The app was given nothing.' };
    case 'role-missing':
      return { tone: 'notice', title: 'Not approved.', text: 'Your account lacks a role that the app asks for.' };
    default:
      return {
        tone: 'notice',
        title: 'That request is over.',
        text: 'It was answered before, or took too long. If you still want it, start again in the app.',
      };
  }
}
