/** What clients sign for the addresses at which certificates are asked for (RFC 8705 §5): proofs and assertions. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import * as openid from 'openid-client';

import type { NewClient } from '../../../src/clients/service.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { refusalOf } from '../../support/apis.ts';
import { registerApplication, tokenRequest, type Application } from '../../support/application.ts';
import { makeCertificate, type TestCertificate } from '../../support/certificates.ts';
import { proofKey, proven, type ProofKey } from '../../support/dpop.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';

const ALIAS = 'https://mtls.id.example';
const HEADER = 'x-client-certificate';

let server: TestServer;
/** The same deployment, which has no such addresses. */
let plain: TestServer;
let certificate: TestCertificate;
let key: ProofKey;

beforeAll(async () => {
  const env = {
    GATEHOUSE_MTLS_HEADER: HEADER,
    GATEHOUSE_MTLS_PROXY_VERIFIES: 'true',
    GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1',
  };
  server = await startGatehouse({ env: { ...env, GATEHOUSE_MTLS_ORIGIN: ALIAS } });
  plain = await startGatehouse({ sharing: server, env });
  certificate = makeCertificate({ subject: [['CN', 'payments']] });
  key = await proofKey();
});
afterAll(async () => {
  await plain.stop();
  await server.stop();
});

function registerMachine(input: Partial<NewClient>): Promise<Application> {
  return registerApplication(server, {
    name: 'Payments',
    kind: 'machine',
    redirectUris: [],
    grantTypes: ['client_credentials'],
    scopes: [],
    firstParty: false,
    consent: 'once',
    ...input,
  });
}

const shown = (): Record<string, string> => ({ [HEADER]: encodeURIComponent(certificate.pem) });

describe('a client that is known by its certificate and binds its tokens to a key', () => {
  let application: Application;
  beforeAll(async () => {
    application = await registerMachine({
      authMethod: 'tls_client_auth',
      tlsClientAuthSubjectDn: 'CN=payments',
      dpopBoundAccessTokens: true,
      requireDpopNonce: true,
    });
  });

  it('gets them by openid-client, whose proofs name the address that it was sent to', async () => {
    const config = await openid.discovery(
      new URL(server.issuer),
      application.clientId,
      { use_mtls_endpoint_aliases: true },
      openid.TlsClientAuth(),
      { execute: [openid.allowInsecureRequests] },
    );
    const asked: string[] = [];
    // The proxy at that origin.
    config[openid.customFetch] = (url, options) => {
      asked.push(url);
      return fetch(url.replace(ALIAS, server.issuer), {
        ...options,
        headers: { ...options.headers, ...shown() },
      } as RequestInit);
    };
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'));
    const tokens = await openid.clientCredentialsGrant(config, {}, { DPoP });
    expect(tokens.token_type).toBe('dpop');
    expect(new Set(asked)).toEqual(new Set([`${ALIAS}/oauth/token`]));
  });

  const ask = async (htu: string, at = server): Promise<Response> => {
    const { headers } = await proven(at.issuer, key, { htu });
    return tokenRequest(
      { issuer: `http://127.0.0.1:${at.env['PORT']}` },
      application,
      { grant_type: 'client_credentials' },
      { headers: { ...headers, ...shown() } },
    );
  };

  it('may name either address of the endpoint, with whatever stands behind it', async () => {
    for (const htu of [`${ALIAS}/oauth/token`, `${ALIAS}/oauth/token?a=b`, `${server.issuer}/oauth/token`]) {
      expect(await refusalOf(await ask(htu))).toEqual([400, 'use_dpop_nonce']);
    }
  });

  it.each([
    ['another endpoint there', `${ALIAS}/oauth/userinfo`],
    ['an endpoint that has no such address', `${ALIAS}/oauth/authorize`],
    ['another origin', 'https://mtls.id.example.evil.example/oauth/token'],
    ['no address', 'token'],
  ])('may not name %s', async (_name, htu) => {
    const refused = await ask(htu);
    expect(await refusalOf(refused.clone())).toEqual([400, 'invalid_dpop_proof']);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { reason: expect.stringContaining('htu') } },
    ]);
  });

  it('may not name it where there is none', async () => {
    expect(await refusalOf(await ask(`${ALIAS}/oauth/token`, plain))).toEqual([400, 'invalid_dpop_proof']);
  });
});

describe('a client that signs', () => {
  it.each<[string, (issuer: string) => string, number, number]>([
    ['for the address there', () => `${ALIAS}/oauth/token`, 200, 401],
    ['for the address here', (issuer) => `${issuer}/oauth/token`, 200, 200],
    ['for the issuer', (issuer) => issuer, 200, 200],
    ['for an address of nothing that it calls', () => `${ALIAS}/oauth/authorize`, 401, 401],
    ['for the origin there', () => ALIAS, 401, 401],
  ])('is answered %s', async (_name, audienceOf, here, elsewhere) => {
    const pair = await generateKeyPair('ES256');
    const { clientId } = await registerMachine({
      authMethod: 'private_key_jwt',
      jwks: { keys: [{ ...(await exportJWK(pair.publicKey)), use: 'sig' }] },
      tlsClientCertificateBoundAccessTokens: true,
    });
    const answers = [server, plain].map(async (at) => {
      const assertion = await new SignJWT({ jti: randomToken() })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(clientId)
        .setSubject(clientId)
        .setAudience(audienceOf(server.issuer))
        .setExpirationTime('1 minute')
        .sign(pair.privateKey);
      const { status } = await fetch(`http://127.0.0.1:${at.env['PORT']}/oauth/token`, {
        method: 'POST',
        headers: shown(),
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: assertion,
        }),
      });
      return status;
    });
    expect(await Promise.all(answers)).toEqual([here, elsewhere]);
  });
});
