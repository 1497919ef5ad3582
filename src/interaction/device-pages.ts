/** The pages of a person who connects a device (RFC 8628 §3.3). Words only; what happened was decided in oidc/. */
import { sendPage } from '../http/page.ts';
import { requestIdOf } from '../http/request-id.ts';
import type { Renderer } from '../http/render.ts';
import type { DevicePages, EntryProblem } from '../oidc/device-entry.ts';
import { hostOf } from './unverified.ts';

export interface DevicePagesOptions {
  renderer: Renderer;
  /** How long a code lives. */
  lifetimeSeconds: number;
  renderError: DevicePages['renderError'];
}

const STATUS: Readonly<Record<EntryProblem['kind'], number>> = {
  missing: 422,
  unknown: 422,
  used: 422,
  expired: 410,
  stale: 400,
  throttled: 429,
};

export function createDevicePages({
  renderer,
  lifetimeSeconds,
  renderError,
}: DevicePagesOptions): DevicePages {
  return {
    renderError,
    enter: (ctx, { action, xsrf, userCode, problem }) => {
      const html = renderer.deviceEnter({
        action,
        hidden: [{ name: 'xsrf', value: xsrf }],
        lifetimeSeconds,
        userCode,
        problem,
      });
      if (problem?.kind === 'throttled') ctx.set('Retry-After', String(problem.retryAfterSeconds));
      sendPage(ctx, html, problem ? STATUS[problem.kind] : 200);
    },
    confirm: (ctx, { action, xsrf, userCode, client, scopes, apis }) => {
      const html = renderer.deviceConfirm({
        action,
        hidden: [
          { name: 'xsrf', value: xsrf },
          { name: 'user_code', value: userCode },
        ],
        clientName: client.name,
        clientHost: hostOf(client.clientUri),
        userCode,
        items: [
          ...scopes.flatMap((scope) => SCOPES[scope] ?? []),
          ...apis.map(({ name, permissions }) => ({
            title: name,
            details: permissions.map(({ description }) => description),
          })),
        ],
      });
      sendPage(ctx, html);
    },
    done: (ctx, { clientName }) => sendPage(ctx, renderer.deviceDone({ clientName })),
    declined: (ctx) => sendPage(ctx, renderer.deviceDeclined()),
    startAgain: (ctx, { action }) => {
      const requestId = requestIdOf(ctx);
      sendPage(ctx, renderer.deviceStartAgain({ action, requestId }), STATUS.stale);
    },
  };
}

/** Before anybody signed in: what it is about, without whose. */
const SCOPES: Readonly<Record<string, { title: string; details: string[] }>> = {
  openid: { title: 'Who you are', details: ['A number that stands for you in this app'] },
  profile: { title: 'Your profile', details: ['Your name and user name'] },
  email: { title: 'Your e-mail address', details: [] },
  roles: { title: 'Your roles', details: [] },
  offline_access: {
    title: 'Stay connected',
    details: ['Keep this access while you are away, until you withdraw it'],
  },
};
