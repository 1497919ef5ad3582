/** A relying party with keys of its own, run by openid-client: for signed requests and signed or encrypted answers. */
import { exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose';
import * as openid from 'openid-client';

import type { NewClient } from '../../src/clients/service.ts';
import { randomToken } from '../../src/platform/ids.ts';
import { registerApplication, type Application } from './application.ts';
import type { TestServer } from './gatehouse.ts';

export interface OwnKey {
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  jwk: JWK & { kid: string };
}

export async function generateKey(
  alg: string,
  { use = 'sig', crv }: { use?: 'sig' | 'enc'; crv?: string } = {},
): Promise<OwnKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true, ...(crv && { crv }) });
  return { privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid: randomToken(6), use } };
}

export interface RelyingParty {
  application: Application;
  config: openid.Configuration;
}

/** Finds out about the server by its metadata; `metadata` is what it knows of its own registration. */
export async function registerRelyingParty(
  server: TestServer,
  input: Partial<NewClient>,
  metadata: Partial<openid.ClientMetadata> = {},
): Promise<RelyingParty> {
  const application = await registerApplication(server, input);
  const config = await openid.discovery(
    new URL(server.issuer),
    application.clientId,
    metadata,
    application.secret === undefined ? openid.None() : openid.ClientSecretBasic(application.secret),
    { execute: [openid.allowInsecureRequests] },
  );
  return { application, config };
}

export interface Checks {
  pkceCodeVerifier: string;
  expectedState: string;
  expectedNonce: string;
}

/** What every request carries, and what its answer is checked against. */
export async function requestOf(
  { application }: RelyingParty,
  parameters: Record<string, string> = {},
): Promise<{ parameters: Record<string, string>; checks: Checks }> {
  const checks = {
    pkceCodeVerifier: openid.randomPKCECodeVerifier(),
    expectedState: openid.randomState(),
    expectedNonce: openid.randomNonce(),
  };
  return {
    checks,
    parameters: {
      redirect_uri: application.redirectUri,
      response_type: 'code',
      scope: 'openid email',
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      code_challenge: await openid.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
      code_challenge_method: 'S256',
      ...parameters,
    },
  };
}
