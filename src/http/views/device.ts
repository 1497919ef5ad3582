import type { ConsentItem } from './access.ts';
import { renderError } from './errors.ts';
import type { FormTarget, Message, Throttled } from './form.ts';
import type { RenderPage } from './page.ts';
import { tooManyTries, waitInWords } from './wording.ts';

/** `stale`: the form was not the newest of this browser, or not ours. */
export type UserCodeProblem = { kind: 'missing' | 'unknown' | 'expired' | 'used' | 'stale' } | Throttled;

/** Posts `user_code`. */
export interface DeviceEnterProps extends FormTarget {
  /** The code that came with the link, for the person to check. */
  userCode?: string | undefined;
  /** How long a code lives. */
  lifetimeSeconds: number;
  problem?: UserCodeProblem | undefined;
}

/** Posts `confirm=yes` or `abort=yes`. */
export interface DeviceConfirmProps extends FormTarget {
  clientName: string;
  /** The host of the application's home page. */
  clientHost?: string | undefined;
  userCode: string;
  /** What it will see or do. */
  items: readonly ConsentItem[];
}

export interface DeviceDoneProps {
  clientName: string;
}

export interface DeviceStartAgainProps {
  /** The page that asks for the code. */
  action: string;
  requestId?: string | undefined;
}

export function renderDeviceEnter(renderPage: RenderPage, props: DeviceEnterProps): string {
  const { problem, userCode } = props;
  return renderPage(
    'device/enter',
    { title: 'Enter the code from your device', isRefusal: problem !== undefined },
    {
      ...props,
      ...(problem ? wordsFor(problem, props.lifetimeSeconds) : {}),
      ...(problem === undefined && userCode !== undefined ? { message: CHECK_FIRST } : {}),
    },
  );
}

export function renderDeviceConfirm(renderPage: RenderPage, props: DeviceConfirmProps): string {
  return renderPage('device/confirm', { title: 'Is this the code on your device?' }, props);
}

export function renderDeviceDone(renderPage: RenderPage, props: DeviceDoneProps): string {
  return renderPage('device/done', { title: 'Your device is connected' }, props);
}

export function renderDeviceDeclined(renderPage: RenderPage): string {
  return renderPage('device/declined', { title: 'The device was not connected' });
}

export function renderDeviceStartAgain(
  renderPage: RenderPage,
  { action, requestId }: DeviceStartAgainProps,
): string {
  return renderError(renderPage, {
    title: 'Enter the code once more',
    lead: 'The page was open for too long, or your browser did not keep our cookie.',
    advice:
      'Nothing happened, and your code may still be good. If this page comes again, allow cookies for this site in your browser’s settings, or leave private browsing.',
    action: { href: action, label: 'Enter the code' },
    requestId,
  });
}

const CHECK_FIRST: Message = {
  tone: 'notice',
  title: 'Check the code.',
  text: 'Continue only if your own device shows this same code right now.',
};

function wordsFor(
  problem: UserCodeProblem,
  lifetimeSeconds: number,
): { message: Message; fieldError?: string } {
  switch (problem.kind) {
    case 'throttled':
      return { message: tooManyTries(problem) };
    case 'missing':
      return { message: danger('Enter the code.'), fieldError: 'Enter the eight letters on your device' };
    case 'unknown':
      return {
        message: danger(
          'That code is not one we know.',
          `Check it letter by letter. A code ends after ${waitInWords(lifetimeSeconds)}, and then the device can show a new one.`,
        ),
        fieldError: 'Enter the code again',
      };
    case 'expired':
      return { message: danger('That code has ended.', START_AGAIN), fieldError: 'Enter a new code' };
    case 'used':
      return { message: danger('That code was already used.', START_AGAIN), fieldError: 'Enter a new code' };
    case 'stale':
      return {
        message: danger(
          'This page was open in another tab, or for too long.',
          'Nothing happened. Enter the code once more.',
        ),
      };
    default:
      return problem satisfies never;
  }
}

const START_AGAIN = 'Nothing is lost. Start again on your device, and enter the new code that it shows.';

function danger(title: string, text?: string): Message {
  return { tone: 'danger', title, ...(text === undefined ? {} : { text }) };
}
