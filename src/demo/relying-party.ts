/**
 * One application's side of OpenID Connect, by `openid-client` and over HTTP alone: discovery, the code flow with PKCE
 * S256, `state`, `nonce` and `iss` (RFC 9207), userinfo, refresh, and sign-out started by the application.
 */
import * as oidc from 'openid-client';

import { AppError } from '../platform/errors.ts';
import type { DemoClient } from './applications.ts';

/**
 * Why the browser is sent to the issuer:
 * - `sign-in`: somebody wants in
 * - `silent`: the same, but without showing anything (`prompt=none`)
 * - `confirm`: whether the person that the application knows is still signed in at the issuer
 * - `step-up`: a second factor is asked for
 */
export type Purpose = 'sign-in' | 'silent' | 'confirm' | 'step-up';

/** What the application remembers while the person is at the issuer. */
export interface PendingSignIn {
  purpose: Purpose;
  state: string;
  nonce: string;
  codeVerifier: string;
}

/** What the issuer said, validated. */
export interface Identity {
  idToken: string;
  claims: oidc.IDToken;
  userinfo: oidc.UserInfoResponse;
  accessToken: string;
  refreshToken?: string;
}

export interface RelyingParty {
  /** Where to send the browser, and what to remember meanwhile. */
  begin: (
    purpose: Purpose,
    hints?: { idToken?: string; loginHint?: string },
  ) => Promise<{ url: string; pending: PendingSignIn }>;
  /** Takes the authorization response (the callback's query) and redeems its code. */
  complete: (query: string, pending: PendingSignIn) => Promise<Identity>;
  /** @throws AppError `nothing_to_refresh` (400) */
  refresh: (identity: Identity) => Promise<Identity>;
  /** Gives up the refresh token (RFC 7009), which would outlive a sign-out. */
  giveUp: (identity: Identity) => Promise<void>;
  /** Where the person signs out at the issuer (OIDC RP-Initiated Logout §2). */
  signOut: (identity: Identity) => Promise<{ url: string; state: string }>;
}

/** Asked for by `acr_values`: two factors. */
export const TWO_FACTORS = 'aal2';

const TIMEOUT_SECONDS = 10;

const PARAMETERS: Record<Purpose, Record<string, string>> = {
  'sign-in': {},
  silent: { prompt: 'none' },
  confirm: { prompt: 'none' },
  'step-up': { acr_values: TWO_FACTORS },
};

export function createRelyingParty({
  issuer,
  client,
  secret,
}: {
  issuer: string;
  client: DemoClient;
  secret: string;
}): RelyingParty {
  let discovered: Promise<oidc.Configuration> | undefined;

  /** Asked for at the first use, for the issuer may start after us; a failure is forgotten, so the next use retries. */
  const configuration = async (): Promise<oidc.Configuration> => {
    discovered ??= discover({ issuer, client, secret });
    try {
      return await discovered;
    } catch (error) {
      discovered = undefined;
      throw error;
    }
  };

  const identify = async (
    config: oidc.Configuration,
    response: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
    previous?: Identity,
  ): Promise<Identity> => {
    const claims = response.claims() ?? previous?.claims;
    const idToken = response.id_token ?? previous?.idToken;
    if (!claims || idToken === undefined) throw refused('The token response has no ID token.');
    const refreshToken = response.refresh_token ?? previous?.refreshToken;
    return {
      idToken,
      claims,
      userinfo: await oidc.fetchUserInfo(config, response.access_token, claims.sub),
      accessToken: response.access_token,
      ...(refreshToken === undefined ? {} : { refreshToken }),
    };
  };

  return {
    begin: async (purpose, hints = {}) => {
      const config = await configuration();
      const codeVerifier = oidc.randomPKCECodeVerifier();
      const pending = { purpose, state: oidc.randomState(), nonce: oidc.randomNonce(), codeVerifier };
      const url = oidc.buildAuthorizationUrl(config, {
        redirect_uri: client.redirectUri,
        scope: client.scopes.join(' '),
        state: pending.state,
        nonce: pending.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256',
        ...PARAMETERS[purpose],
        ...(hints.idToken === undefined ? {} : { id_token_hint: hints.idToken }),
        ...(hints.loginHint === undefined ? {} : { login_hint: hints.loginHint }),
      });
      return { url: url.href, pending };
    },

    complete: async (query, pending) => {
      const config = await configuration();
      const response = await oidc.authorizationCodeGrant(config, new URL(query, client.redirectUri), {
        expectedState: pending.state,
        expectedNonce: pending.nonce,
        pkceCodeVerifier: pending.codeVerifier,
        idTokenExpected: true,
      });
      return identify(config, response);
    },

    refresh: async (identity) => {
      if (identity.refreshToken === undefined) {
        throw new AppError('nothing_to_refresh', 400, 'There is no refresh token.');
      }
      const config = await configuration();
      const response = await oidc.refreshTokenGrant(config, identity.refreshToken);
      // OIDC Core §12.2; the library knows nothing of the first ID token.
      const subject = response.claims()?.sub;
      if (subject !== undefined && subject !== identity.claims.sub) {
        throw refused('The refreshed ID token is about somebody else.');
      }
      return identify(config, response, identity);
    },

    giveUp: async ({ refreshToken }) => {
      if (refreshToken === undefined) return;
      await oidc.tokenRevocation(await configuration(), refreshToken, { token_type_hint: 'refresh_token' });
    },

    signOut: async ({ idToken }) => {
      const state = oidc.randomState();
      const url = oidc.buildEndSessionUrl(await configuration(), {
        id_token_hint: idToken,
        post_logout_redirect_uri: client.postLogoutRedirectUri,
        state,
      });
      return { url: url.href, state };
    },
  };
}

function discover({
  issuer,
  client,
  secret,
}: {
  issuer: string;
  client: DemoClient;
  secret: string;
}): Promise<oidc.Configuration> {
  const server = new URL(issuer);
  return oidc.discovery(server, client.clientId, undefined, oidc.ClientSecretBasic(secret), {
    timeout: TIMEOUT_SECONDS,
    execute: [
      // The library trusts TLS for what comes from the token endpoint; here there may be none, and the page says
      // that the signature was checked.
      oidc.enableNonRepudiationChecks,
      ...(server.protocol === 'http:' ? [oidc.allowInsecureRequests] : []),
    ],
  });
}

function refused(message: string): AppError {
  return new AppError('answer_refused', 502, message);
}
