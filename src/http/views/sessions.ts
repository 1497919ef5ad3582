import type { AccountFrame } from './account.ts';
import type { Message } from './form.ts';
import type { RenderPage } from './page.ts';
import { instantInWords, waitInWords } from './wording.ts';

export type SessionsEnded = 'session' | 'app';

/** Its forms post to `action`: `session` with a uid, `app` with an id, or `everywhere=yes`. */
export interface SessionsProps extends AccountFrame {
  action: string;
  /** Where this browser signs out. */
  logoutUrl: string;
  now: Date;
  /** This browser's first. */
  sessions: readonly SessionItem[];
  /** The apps of all of them. */
  apps: readonly { id: string; name: string }[];
  ended?: SessionsEnded | undefined;
}

export interface SessionItem {
  uid: string;
  isThisBrowser: boolean;
  signedInAt: Date;
  /** Their names. */
  apps: readonly string[];
}

export function renderSessions(renderPage: RenderPage, props: SessionsProps): string {
  const { now, sessions, ended, navigation } = props;
  return renderPage(
    'account/sessions',
    { title: 'Where you are signed in', navigation },
    {
      ...props,
      ...(ended === undefined ? {} : { message: messageFor(ended) }),
      sessions: sessions.map((session, index) => withTime(session, `session-${index + 1}`, now)),
    },
  );
}

function withTime(session: SessionItem, id: string, now: Date): object {
  const { signedInAt } = session;
  return {
    ...session,
    id,
    exact: signedInAt.toISOString(),
    title: instantInWords(signedInAt),
    words: `${waitInWords((now.getTime() - signedInAt.getTime()) / 1000)} ago`,
  };
}

function messageFor(ended: SessionsEnded): Message {
  return ended === 'session'
    ? { tone: 'done', title: 'Signed out.', text: 'That browser has to sign in again.' }
    : { tone: 'done', title: 'Signed out.', text: 'The app may take a moment to notice.' };
}
