import { toString as drawQrCode } from 'qrcode';
import type { Renderer } from '../../src/http/render.ts';

/** A page as a person may meet it. */
export interface PageState {
  name: string;
  html: (render: Renderer) => string;
}

const action = '/auth/interaction/abc/step';
const hidden = [{ name: 'xsrf', value: 'Hk3k2' }];
const form = { action, hidden };
const inLedger = { ...form, clientName: 'Ledger' };
const requestId = '0198c7a2-5b1e-7c34-9d0a-51f27f3c92ad';
const device = { ...form, lifetimeSeconds: 600 };
const userCode = 'WDJB-MJHT';
const throttled = { kind: 'throttled', retryAfterSeconds: 95 } as const;
const client = { name: 'Ledger', url: 'https://ledger.example/login' };
const retry = { retryAfterSeconds: 8, retryUrl: '/auth/interaction/abc', requestId };

const key = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
const otpauthUri = `otpauth://totp/Gatehouse:ada%40example.test?secret=${key}&issuer=Gatehouse`;
const qrCode = await drawQrCode(otpauthUri, { type: 'svg', margin: 4 });
const qrCodeDataUri = `data:image/svg+xml;base64,${Buffer.from(qrCode).toString('base64')}`;
const enrol = { ...form, key, otpauthUri, qrCodeDataUri };
const byClient = { kind: 'client', clientName: 'Ledger' } as const;

const firstFive = ['k7wq-2mfd-8rt0', 'x4pn-9hts-1c6v', 'b3vc-8rjy-w5qe', 'm6dz-5gke-0s2n', 'q9tf-4wna-7hxb'];
const lastFive = ['h2ys-7xpb-3dkm', 'r8kj-3cvm-9f4g', 'n5ge-6qdz-t1wa', 'w4ha-9tfs-6j8p', 'p7bx-2ynr-5vc3'];
const tenCodes = [...firstFive, ...lastFive];

const application = { name: 'Ledger', accent: 'ledger', description: 'Invoices and bookkeeping' } as const;
const atlas = { name: 'Atlas', accent: 'atlas', description: 'Maps of what is where' } as const;
const other = { href: 'http://127.0.0.1:41002/', label: 'Atlas' };
const claims = {
  sub: 'p1bq0M0u3o9aTzXn5cJw2A',
  iss: 'http://localhost:3000',
  aud: 'demo-ledger',
  exp: 1_794_580_403,
  iat: 1_794_579_803,
  auth_time: 1_794_579_790,
  acr: 'aal2',
  amr: ['pwd', 'otp', 'mfa'],
  nonce: 'Zk4W0m9Vq1n8r2s7t5u6',
  roles: ['bookkeeper', 'auditor'],
};
const session = {
  application,
  issuerName: 'Gatehouse',
  signedInAs: 'Ada Lovelace',
  idToken: {
    issuer: claims.iss,
    subject: claims.sub,
    roles: claims.roles,
    amr: claims.amr,
    acr: claims.acr,
    authTime: new Date(claims.auth_time * 1000),
    issuedAt: new Date(claims.iat * 1000),
    expiresAt: new Date(claims.exp * 1000),
  },
  claims,
  userinfo: {
    sub: claims.sub,
    name: 'Ada Lovelace',
    email: 'ada@example.test',
    email_verified: true,
    roles: claims.roles,
  },
  refresh: form,
  signOut: form,
  other,
};
const weakSession = {
  ...session,
  signedInAs: undefined,
  idToken: { ...session.idToken, roles: [], amr: ['pwd'], acr: 'aal1' },
  stepUp: form,
  other: undefined,
};

const development = {
  apps: [
    {
      name: 'Ledger',
      url: 'http://127.0.0.1:3001',
      description: 'Invoices and bookkeeping; asks for a second step',
    },
    { name: 'Atlas', url: 'http://127.0.0.1:3002', description: 'Maps of what is where; asks nothing more' },
  ],
  documentationPath: 'README.md',
  discoveryUrl: '/auth/.well-known/openid-configuration',
};

const items = [
  { title: 'Who you are', details: ['Your name and user name'] },
  { title: 'Your e-mail address', details: ['ada@example.test (verified)'] },
  { title: 'Your roles', details: ['editor, billing'] },
  { title: 'Stay connected', details: ['Keep this access while you are away, until you withdraw it'] },
];
const consent = { ...inLedger, clientHost: 'ledger.example', accountEmail: 'ada@example.test', items };
const payment = {
  title: 'Make a payment',
  details: ['At Example Bank'],
  rows: [
    { label: 'Amount', values: ['EUR 1,234.50'] },
    { label: 'To', values: ['Merchant A'] },
    { label: 'Account', values: ['IBAN: DE02 1001 0010 9307 1186 03', 'BIC: PBNKDEFF'] },
    { label: 'What it may do', values: ['Start the payment', 'See how far it is'] },
  ],
};
const hostileRows = [
  { label: 'To', values: ['"><script>alert(1)</script> أحمد'] },
  { label: 'A label with more words than there is room for beside it', values: ['W'.repeat(200)] },
];
const switchAccount = { action: '/auth/interaction/abc/switch', hidden };
const account = {
  accountEmail: 'ada@example.test',
  navigation: [
    { href: '/auth/account/approvals', label: 'Requests', isCurrent: true },
    { href: '/auth/account/applications', label: 'Apps', isCurrent: false },
    { href: '/auth/account/sessions', label: 'Sign-ins', isCurrent: false },
    { href: '/auth/oauth/logout', label: 'Sign out', isCurrent: false },
  ],
  now: new Date('2026-11-12T14:03:22Z'),
};
const request = {
  action: '/auth/account/approvals/0198c7a2',
  clientName: 'Service desk',
  bindingMessage: 'Order 4711, CHF 250',
  askedAt: new Date('2026-11-12T14:01:22Z'),
  endsAt: new Date('2026-11-12T14:11:22Z'),
  items: items.slice(0, 2),
};
const signedIn = {
  ...account,
  navigation: account.navigation.map((link) => ({ ...link, isCurrent: link.href.endsWith('/sessions') })),
  action: '/auth/account/sessions',
  logoutUrl: '/auth/oauth/logout',
};
const thisBrowser = {
  uid: 'a',
  isThisBrowser: true,
  signedInAt: new Date('2026-11-12T11:01:22Z'),
  apps: [],
};
const letIn = {
  name: 'Ledger',
  letInAt: new Date('2026-11-12T13:01:22Z'),
  withdrawUrl: '/auth/account/applications/withdraw?client=ledger',
};
const longName = 'Grundstücksverkehrsgenehmigungszuständigkeitsübertragungsverordnung';
const refused = { kind: 'refused' } as const;
const identifier = 'ada@example.test';

/** Every view in every state. */
export const pageStates: readonly PageState[] = [
  { name: 'login', html: (r) => r.login(inLedger) },
  { name: 'login-alone', html: (r) => r.login({ ...form, identifier, resetUrl: '/auth/reset' }) },
  {
    name: 'login-again',
    html: (r) => r.login({ ...inLedger, identifier, notice: 'Sign in again to continue.' }),
  },
  { name: 'login-refused', html: (r) => r.login({ ...inLedger, identifier, problem: refused }) },
  {
    name: 'login-incomplete',
    html: (r) =>
      r.login({ ...inLedger, problem: { kind: 'incomplete', missing: ['identifier', 'password'] } }),
  },
  {
    name: 'login-no-password',
    html: (r) => r.login({ ...inLedger, identifier, problem: { kind: 'incomplete', missing: ['password'] } }),
  },
  { name: 'login-throttled', html: (r) => r.login({ ...inLedger, identifier, problem: throttled }) },
  {
    name: 'login-busy',
    html: (r) => r.login({ ...inLedger, identifier, problem: { kind: 'busy', retryAfterSeconds: 5 } }),
  },
  {
    name: 'login-long-names',
    html: (r) =>
      r.login({ ...form, clientName: longName, identifier: `${longName}@example.test`, problem: refused }),
  },
  { name: 'totp', html: (r) => r.totp({ ...inLedger, recoveryUrl: '/auth/interaction/abc/recovery' }) },
  { name: 'totp-alone', html: (r) => r.totp(form) },
  {
    name: 'totp-wrong',
    html: (r) =>
      r.totp({ ...inLedger, recoveryUrl: '/auth/interaction/abc/recovery', problem: { kind: 'wrong' } }),
  },
  { name: 'totp-malformed', html: (r) => r.totp({ ...inLedger, problem: { kind: 'malformed' } }) },
  { name: 'totp-throttled', html: (r) => r.totp({ ...inLedger, problem: throttled }) },
  { name: 'recovery-code', html: (r) => r.recoveryCode({ ...inLedger, totpUrl: action }) },
  {
    name: 'recovery-code-wrong',
    html: (r) => r.recoveryCode({ ...inLedger, totpUrl: action, problem: { kind: 'wrong' } }),
  },
  {
    name: 'recovery-code-malformed',
    html: (r) => r.recoveryCode({ ...inLedger, totpUrl: action, problem: { kind: 'malformed' } }),
  },
  {
    name: 'recovery-code-throttled',
    html: (r) => r.recoveryCode({ ...inLedger, totpUrl: action, problem: throttled }),
  },
  { name: 'totp-enrol', html: (r) => r.totpEnrol({ ...enrol, reason: byClient }) },
  { name: 'totp-enrol-account', html: (r) => r.totpEnrol({ ...enrol, reason: { kind: 'account' } }) },
  {
    name: 'totp-enrol-wrong',
    html: (r) => r.totpEnrol({ ...enrol, reason: byClient, problem: { kind: 'wrong' } }),
  },
  {
    name: 'totp-enrol-malformed',
    html: (r) => r.totpEnrol({ ...enrol, reason: byClient, problem: { kind: 'malformed' } }),
  },
  {
    name: 'totp-enrol-throttled',
    html: (r) => r.totpEnrol({ ...enrol, reason: byClient, problem: throttled }),
  },
  { name: 'recovery-codes', html: (r) => r.recoveryCodes({ ...form, kind: 'fresh', codes: tenCodes }) },
  {
    name: 'recovery-codes-shown',
    html: (r) =>
      r.recoveryCodes({ ...form, kind: 'already-shown', renew: { action: `${action}/renew`, hidden } }),
  },
  {
    name: 'access-denied',
    html: (r) =>
      r.accessDenied({ ...inLedger, role: 'bookkeeper', accountEmail: 'ada@example.test', switchAccount }),
  },
  { name: 'consent', html: (r) => r.consent({ ...consent, accountUrl: '/auth/account' }) },
  { name: 'consent-details', html: (r) => r.consent({ ...consent, items: [items[0]!, payment] }) },
  {
    name: 'consent-details-hostile',
    html: (r) => r.consent({ ...consent, items: [{ ...payment, rows: hostileRows }] }),
  },
  {
    name: 'consent-unverified',
    html: (r) =>
      r.consent({
        ...consent,
        message: {
          tone: 'notice',
          title: 'Nobody here has checked this app.',
          text: 'It chose its name by itself. Your answer goes to app.example. Allow it only if you know both addresses.',
        },
      }),
  },
  {
    name: 'consent-short',
    html: (r) => r.consent({ ...consent, clientHost: undefined, items: items.slice(0, 1) }),
  },
  { name: 'device-enter', html: (r) => r.deviceEnter(device) },
  { name: 'device-enter-from-link', html: (r) => r.deviceEnter({ ...device, userCode }) },
  ...(['missing', 'unknown', 'expired', 'used', 'stale'] as const).map((kind) => ({
    name: `device-enter-${kind}`,
    html: (r: Renderer) => r.deviceEnter({ ...device, problem: { kind } }),
  })),
  { name: 'device-enter-throttled', html: (r) => r.deviceEnter({ ...device, problem: throttled }) },
  {
    name: 'device-confirm',
    html: (r) =>
      r.deviceConfirm({
        ...inLedger,
        clientName: 'Living-room TV',
        clientHost: 'tv.example',
        userCode,
        items,
      }),
  },
  {
    name: 'device-confirm-long-names',
    html: (r) => r.deviceConfirm({ ...form, clientName: longName, userCode, items: [] }),
  },
  { name: 'device-done', html: (r) => r.deviceDone({ clientName: 'Living-room TV' }) },
  { name: 'device-start-again', html: (r) => r.deviceStartAgain({ action: '/auth/device', requestId }) },
  { name: 'device-declined', html: (r) => r.deviceDeclined() },
  { name: 'logout', html: (r) => r.logout({ ...inLedger, accountEmail: 'ada@example.test' }) },
  { name: 'logout-alone', html: (r) => r.logout(form) },
  { name: 'signed-out', html: (r) => r.signedOut({ client }) },
  { name: 'signed-out-alone', html: (r) => r.signedOut({}) },
  { name: 'still-signed-in', html: (r) => r.signedOut({ isStillSignedIn: true, client }) },
  {
    name: 'error',
    html: (r) =>
      r.error({
        title: 'This app is not set up correctly',
        advice:
          'It wants you back at an address that is not registered for it, so we stop here to keep you safe. Tell whoever looks after the app.',
        technical: {
          code: 'invalid_redirect_uri',
          description: 'redirect_uri did not match any registered one',
        },
        requestId,
      }),
  },
  {
    name: 'error-plain',
    html: (r) => r.error({ title: 'Something went wrong', advice: 'Try again in a moment.' }),
  },
  { name: 'expired', html: (r) => r.expired({ lifetimeSeconds: 1200, client, requestId }) },
  { name: 'expired-alone', html: (r) => r.expired({ lifetimeSeconds: 1200, requestId }) },
  { name: 'unavailable', html: (r) => r.unavailable({ ...retry, retryAfterSeconds: undefined }) },
  {
    name: 'app-unreachable',
    html: (r) => r.appUnreachable({ retryUrl: '/auth/oauth/authorize?client_id=x', requestId }),
  },
  { name: 'cookies-disabled', html: (r) => r.cookiesDisabled({ client, requestId }) },
  { name: 'not-found', html: (r) => r.notFound({ homeUrl: '/auth/', requestId }) },
  { name: 'home', html: (r) => r.home({}) },
  {
    name: 'home-waiting',
    html: (r) =>
      r.home({ account: { email: 'ada@example.test', waiting: 2, url: '/auth/account/approvals' } }),
  },
  {
    name: 'home-signed-in',
    html: (r) =>
      r.home({ account: { email: 'ada@example.test', waiting: 0, url: '/auth/account/approvals' } }),
  },
  { name: 'approvals', html: (r) => r.approvals({ ...account, requests: [request] }) },
  { name: 'approvals-none', html: (r) => r.approvals({ ...account, requests: [] }) },
  {
    name: 'approvals-several',
    html: (r) =>
      r.approvals({
        ...account,
        answered: 'denied',
        requests: [
          { ...request, bindingMessage: undefined, obstacle: { kind: 'sign-in' } },
          { ...request, clientName: longName, obstacle: { kind: 'role-missing', role: 'bookkeeper' } },
        ],
      }),
  },
  {
    name: 'approvals-approved',
    html: (r) => r.approvals({ ...account, requests: [], answered: 'approved' }),
  },
  { name: 'approvals-over', html: (r) => r.approvals({ ...account, requests: [], answered: 'gone' }) },
  {
    name: 'approvals-not-approved',
    html: (r) => r.approvals({ ...account, requests: [request], answered: 'role-missing' }),
  },
  {
    name: 'sessions',
    html: (r) =>
      r.sessions({
        ...signedIn,
        sessions: [
          thisBrowser,
          { ...thisBrowser, uid: 'b', isThisBrowser: false, apps: ['Ledger', longName] },
        ],
        apps: [
          { id: 'ledger', name: 'Ledger' },
          { id: 'long', name: longName },
        ],
      }),
  },
  { name: 'sessions-alone', html: (r) => r.sessions({ ...signedIn, sessions: [thisBrowser], apps: [] }) },
  {
    name: 'sessions-ended',
    html: (r) => r.sessions({ ...signedIn, sessions: [thisBrowser], apps: [], ended: 'session' }),
  },
  { name: 'signed-out-everywhere', html: (r) => r.signedOut({ isEverywhere: true }) },
  { name: 'applications-none', html: (r) => r.applications({ ...account, applications: [] }) },
  {
    name: 'applications',
    html: (r) =>
      r.applications({
        ...account,
        answered: 'withdrawn',
        applications: [letIn, { ...letIn, name: longName, letInAt: new Date('2026-09-01T08:00:00Z') }],
      }),
  },
  {
    name: 'withdrawal',
    html: (r) =>
      r.withdrawal({
        ...account,
        action: '/auth/account/applications/withdraw',
        clientId: 'ledger',
        clientName: longName,
      }),
  },
  { name: 'home-development', html: (r) => r.home({ development }) },
  {
    name: 'demo-home',
    html: (r) => r.demoHome({ application, issuerName: 'Gatehouse', signIn: form, other }),
  },
  {
    name: 'demo-home-atlas',
    html: (r) =>
      r.demoHome({
        application: atlas,
        issuerName: 'Gatehouse',
        signIn: form,
        notice: 'You are signed out of Atlas.',
      }),
  },
  { name: 'demo-session', html: (r) => r.demoSession(session) },
  {
    name: 'demo-session-atlas',
    html: (r) => r.demoSession({ ...weakSession, application: atlas, notice: 'The tokens were refreshed.' }),
  },
  {
    name: 'demo-error',
    html: (r) =>
      r.demoError({
        application,
        title: 'You were not signed in',
        advice: 'Gatehouse answered that you may not open this app, or you chose not to allow it.',
        technical: { code: 'access_denied', description: 'End-User aborted interaction' },
        action: { href: '/', label: 'Back to the start' },
        requestId,
      }),
  },
];
