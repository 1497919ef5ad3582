/**
 * The pages that the provider shows by itself: errors that cannot be told to the client, the question before a sign-out,
 * and its end. Words only; which error it is was decided in oidc/.
 */
import type { Context } from 'koa';

import { allowFrames, sendPage } from '../http/page.ts';
import type { Renderer } from '../http/render.ts';
import { requestIdOf } from '../http/request-id.ts';
import type { ErrorProps } from '../http/views/errors.ts';
import { isClientDocumentUnreachable } from '../oidc/errors.ts';

/** The part of the provider's context that pages read. */
type ProviderContext = Context & {
  oidc?: {
    client?: ProviderClient | undefined;
    route?: string;
    urlFor: (name: string) => string;
    session?: { accountId?: string; destroyed?: boolean; state?: { secret?: string } } | undefined;
    provider: { Session: { get: (ctx: Context) => Promise<{ accountId?: string }> } };
  };
};

interface ProviderClient {
  clientName?: string;
  clientUri?: string;
  initiateLoginUri?: string;
}

interface OAuthError {
  error: string;
  error_description?: string | undefined;
}

export interface ProviderPagesOptions {
  renderer: Renderer;
  interactionTtlSeconds: number;
  /** By `sub`, to show who is about to be signed out. */
  emailOf: (sub: string) => Promise<string | undefined>;
}

export function createProviderPages({ renderer, interactionTtlSeconds, emailOf }: ProviderPagesOptions) {
  return {
    renderError: async (context: object, out: OAuthError, error: Error): Promise<void> => {
      const ctx = context as ProviderContext;
      // As for the pages of a pass that is over (routes.ts).
      const status = isExpired(error) ? 410 : ctx.status;
      sendPage(ctx, errorPage(ctx, out, error), status);
    },
    renderUnavailable: (context: object, failure: unknown): string => {
      const ctx = context as ProviderContext;
      const props = {
        requestId: requestIdOf(ctx),
        ...(ctx.method === 'GET' ? { retryUrl: ctx.originalUrl } : {}),
      };
      return isClientDocumentUnreachable(failure)
        ? renderer.appUnreachable(props)
        : renderer.unavailable(props);
    },
    logoutSource: async (context: object): Promise<void> => {
      const ctx = context as ProviderContext;
      const sub = ctx.oidc?.session?.accountId;
      const email = sub === undefined ? undefined : await emailOf(sub);
      const clientName = ctx.oidc?.client?.clientName;
      const html = renderer.logout({
        action: ctx.oidc?.urlFor('end_session_confirm') ?? '',
        hidden: [{ name: 'xsrf', value: ctx.oidc?.session?.state?.secret ?? '' }],
        ...(clientName === undefined ? {} : { clientName }),
        ...(email === undefined ? {} : { accountEmail: email }),
      });
      sendPage(ctx, html);
    },
    renderSignedOut: async (
      context: object,
      {
        frames,
        continueUrl,
      }: { frames: readonly { url: string; clientName: string }[]; continueUrl: string },
    ): Promise<void> => {
      const ctx = context as ProviderContext;
      const clientName = ctx.oidc?.client?.clientName;
      allowFrames(
        ctx,
        frames.map(({ url }) => new URL(url).origin),
      );
      const isStillSignedIn = ctx.oidc?.session?.destroyed !== true;
      sendPage(
        ctx,
        renderer.signedOut({ isStillSignedIn, onward: { url: continueUrl, clientName, frames } }),
      );
    },
    postLogoutSuccessSource: async (context: object): Promise<void> => {
      const ctx = context as ProviderContext;
      const { clientName, clientUri } = ctx.oidc?.client ?? {};
      // The library comes here after "Stay signed in" too, and anybody may open this address.
      const session = await ctx.oidc?.provider.Session.get(ctx);
      const html = renderer.signedOut({
        isStillSignedIn: session?.accountId !== undefined,
        ...(clientName && clientUri ? { client: { name: clientName, url: clientUri } } : {}),
      });
      sendPage(ctx, html);
    },
  };

  function errorPage(
    ctx: ProviderContext,
    { error, error_description: description }: OAuthError,
    cause: Error,
  ): string {
    const requestId = requestIdOf(ctx);
    const technical = { code: error, ...(description === undefined ? {} : { description }) };
    const wayBack = wayBackTo(ctx.oidc?.client);
    if (isExpired(cause)) {
      return renderer.expired({
        lifetimeSeconds: interactionTtlSeconds,
        requestId,
        ...(wayBack && { client: wayBack }),
      });
    }
    if (error === 'server_error') {
      return renderer.error({
        title: 'Something went wrong on our side',
        lead: 'It is not your fault, and nothing is wrong with your account.',
        advice:
          'Go back to the app and try again in a moment. If it keeps happening, tell your administrator the number below.',
        requestId,
      });
    }
    const words = ctx.oidc?.route?.startsWith('end_session')
      ? signOutWords(ctx)
      : wordsFor(error, ctx, wayBack);
    return renderer.error({ ...words, requestId, technical });
  }
}

function isExpired(error: Error): boolean {
  return error.name === 'SessionNotFound';
}

/** Only there can a sign-in begin again. */
function wayBackTo(client: ProviderClient | undefined): { name: string; url: string } | undefined {
  const url = client?.initiateLoginUri ?? client?.clientUri;
  return client?.clientName && url ? { name: client.clientName, url } : undefined;
}

type Words = Pick<ErrorProps, 'title' | 'lead' | 'advice' | 'action'>;

/** An app asked for a sign-out that cannot be: whoever wanted it can have it all the same. */
function signOutWords({ oidc }: ProviderContext): Words {
  if (oidc?.session?.accountId === undefined) {
    return {
      title: 'You are not signed in here',
      advice: 'There is nothing to sign out of. If an app is still open, sign out there.',
    };
  }
  return {
    title: 'You are still signed in',
    lead: 'The app asked to sign you out in a way that we cannot follow.',
    advice: 'You can sign out here instead.',
    action: { href: oidc.urlFor('end_session'), label: 'Sign out' },
  };
}

/** Errors that stay here, because the address to send the person back to is not known to be the client's. */
function wordsFor(
  error: string,
  { oidc }: ProviderContext,
  wayBack: { name: string; url: string } | undefined,
): Words {
  const clientName = oidc?.client?.clientName;
  const startAgain = {
    advice: `Nothing is wrong with your account. Go back to ${clientName ?? 'the app'} and start again.`,
    action: wayBack && { href: wayBack.url, label: `Back to ${wayBack.name}` },
  };
  switch (error) {
    case 'invalid_client':
      return {
        title: 'This app is not known here',
        advice:
          'The link that brought you here names an app that is not registered. Tell whoever looks after the app.',
      };
    case 'invalid_redirect_uri':
      return {
        title: `${clientName ?? 'This app'} is not set up correctly`,
        advice:
          'It wants you back at an address that is not registered for it, so we stop here to keep you safe. Tell whoever looks after the app.',
      };
    case 'invalid_request_uri':
      return {
        title: 'This sign-in link has ended',
        lead: 'It works once, and only for a short time.',
        ...startAgain,
      };
    default:
      return { title: 'This sign-in link does not work', ...startAgain };
  }
}
