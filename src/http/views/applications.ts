import type { AccountFrame } from './account.ts';
import type { Message } from './form.ts';
import type { RenderPage } from './page.ts';
import { instantInWords, waitInWords } from './wording.ts';

export interface ApplicationsProps extends AccountFrame {
  now: Date;
  /** The newest first. */
  applications: readonly { name: string; letInAt: Date; withdrawUrl: string }[];
  answered?: 'withdrawn' | undefined;
}

/** Posts `client` and `decision`: `withdraw` or `keep`. */
export interface WithdrawalProps extends AccountFrame {
  action: string;
  clientId: string;
  clientName: string;
}

const WITHDRAWN: Message = {
  tone: 'done',
  title: 'Access withdrawn.',
  text: 'The app can do nothing with your account any more, unless you let it in again.',
};

export function renderApplications(renderPage: RenderPage, props: ApplicationsProps): string {
  const { now, applications, answered, navigation } = props;
  const title = applications.length === 0 ? 'You have let no app in' : 'Apps that you let in';
  return renderPage('account/applications', { title, navigation }, {
    ...props,
    ...(answered === undefined ? {} : { message: WITHDRAWN }),
    applications: applications.map(({ name, withdrawUrl, letInAt }) => ({
      name,
      withdrawUrl,
      letIn: { exact: letInAt.toISOString(), title: instantInWords(letInAt), words: ago(letInAt, now) },
    })),
  });
}

/** By the hour for a day, and then the day. */
function ago(instant: Date, now: Date): string {
  const seconds = (now.getTime() - instant.getTime()) / 1000;
  if (seconds < 86_400) return `${waitInWords(seconds)} ago`;
  const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' });
  return `on ${day.format(instant)}`;
}

export function renderWithdrawal(renderPage: RenderPage, props: WithdrawalProps): string {
  const { navigation, clientName } = props;
  return renderPage('account/withdrawal', { title: `Withdraw access from ${clientName}?`, navigation }, props);
}
