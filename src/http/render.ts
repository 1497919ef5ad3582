/**
 * The pages a person sees: one typed function per view, from plain data to a whole HTML page. The words live in
 * `views/*.ts` and the templates; doors say *what* happened (`{ kind: 'refused' }`) and never write a sentence.
 * Sending a page (status, headers, content security policy) is the host's part.
 */
import type { AccessDeniedProps, ConsentProps } from './views/access.ts';
import { renderAccessDenied, renderConsent } from './views/access.ts';
import type { DeviceConfirmProps, DeviceDoneProps, DeviceEnterProps } from './views/device.ts';
import * as device from './views/device.ts';
import type { ApprovalsProps } from './views/account.ts';
import { renderApprovals } from './views/account.ts';
import type { ApplicationsProps, WithdrawalProps } from './views/applications.ts';
import { renderApplications, renderWithdrawal } from './views/applications.ts';
import type { DemoErrorProps, DemoHomeProps, DemoSessionProps } from './views/demo.ts';
import { renderDemoError, renderDemoHome, renderDemoSession } from './views/demo.ts';
import type {
  CookiesDisabledProps,
  ErrorProps,
  ExpiredProps,
  NotFoundProps,
  RetryProps,
} from './views/errors.ts';
import * as errors from './views/errors.ts';
import type { HomeProps } from './views/home.ts';
import { renderHome } from './views/home.ts';
import type { LoginProps } from './views/login.ts';
import { renderLogin } from './views/login.ts';
import type { PageOptions } from './views/page.ts';
import { createPageRenderer } from './views/page.ts';
import type {
  RecoveryCodeProps,
  RecoveryCodesProps,
  TotpEnrolProps,
  TotpProps,
} from './views/second-step.ts';
import * as secondStep from './views/second-step.ts';
import type { SessionsProps } from './views/sessions.ts';
import { renderSessions } from './views/sessions.ts';
import type { LogoutProps, SignedOutProps } from './views/sign-out.ts';
import { renderLogout, renderSignedOut } from './views/sign-out.ts';

/** Every function returns a whole HTML page. */
export interface Renderer {
  login: (props: LoginProps) => string;
  totp: (props: TotpProps) => string;
  recoveryCode: (props: RecoveryCodeProps) => string;
  totpEnrol: (props: TotpEnrolProps) => string;
  recoveryCodes: (props: RecoveryCodesProps) => string;
  accessDenied: (props: AccessDeniedProps) => string;
  consent: (props: ConsentProps) => string;
  deviceEnter: (props: DeviceEnterProps) => string;
  deviceConfirm: (props: DeviceConfirmProps) => string;
  deviceDone: (props: DeviceDoneProps) => string;
  deviceDeclined: () => string;
  deviceStartAgain: (props: device.DeviceStartAgainProps) => string;
  logout: (props: LogoutProps) => string;
  signedOut: (props: SignedOutProps) => string;
  error: (props: ErrorProps) => string;
  expired: (props: ExpiredProps) => string;
  unavailable: (props: RetryProps) => string;
  appUnreachable: (props: RetryProps) => string;
  cookiesDisabled: (props: CookiesDisabledProps) => string;
  notFound: (props: NotFoundProps) => string;
  approvals: (props: ApprovalsProps) => string;
  sessions: (props: SessionsProps) => string;
  applications: (props: ApplicationsProps) => string;
  withdrawal: (props: WithdrawalProps) => string;
  home: (props: HomeProps) => string;
  demoHome: (props: DemoHomeProps) => string;
  demoSession: (props: DemoSessionProps) => string;
  demoError: (props: DemoErrorProps) => string;
}

export function createRenderer(options: PageOptions): Renderer {
  const page = createPageRenderer(options);
  return {
    login: (props) => renderLogin(page, props),
    totp: (props) => secondStep.renderTotp(page, props),
    recoveryCode: (props) => secondStep.renderRecoveryCode(page, props),
    totpEnrol: (props) => secondStep.renderTotpEnrol(page, props),
    recoveryCodes: (props) => secondStep.renderRecoveryCodes(page, props),
    accessDenied: (props) => renderAccessDenied(page, props),
    consent: (props) => renderConsent(page, props),
    deviceEnter: (props) => device.renderDeviceEnter(page, props),
    deviceConfirm: (props) => device.renderDeviceConfirm(page, props),
    deviceDone: (props) => device.renderDeviceDone(page, props),
    deviceDeclined: () => device.renderDeviceDeclined(page),
    deviceStartAgain: (props) => device.renderDeviceStartAgain(page, props),
    logout: (props) => renderLogout(page, props),
    signedOut: (props) => renderSignedOut(page, props),
    error: (props) => errors.renderError(page, props),
    expired: (props) => errors.renderExpired(page, props),
    unavailable: (props) => errors.renderUnavailable(page, props),
    appUnreachable: (props) => errors.renderAppUnreachable(page, props),
    cookiesDisabled: (props) => errors.renderCookiesDisabled(page, props),
    notFound: (props) => errors.renderNotFound(page, props),
    approvals: (props) => renderApprovals(page, props),
    sessions: (props) => renderSessions(page, props),
    applications: (props) => renderApplications(page, props),
    withdrawal: (props) => renderWithdrawal(page, props),
    home: (props) => renderHome(page, options.branding.name, props),
    demoHome: (props) => renderDemoHome(page, props),
    demoSession: (props) => renderDemoSession(page, props),
    demoError: (props) => renderDemoError(page, props),
  };
}
