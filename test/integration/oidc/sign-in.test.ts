import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import {
  authorizationRequest,
  authorize,
  codeOf,
  introspect,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  signedIn,
  type Tokens,
} from '../../support/application.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

describe.each<StoreKind>(['postgres', 'redis'])('signing in, with sessions in %s', (store) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
  });
  afterAll(() => server.stop());

  it('leads from the password to tokens', async () => {
    const { tokens, credentials } = await signedIn(server);
    const claims = decodeJwt(tokens.id_token ?? '');
    expect(claims).toMatchObject({
      iss: server.issuer,
      sub: credentials.account.sub,
      acr: 'aal1',
      amr: ['pwd'],
    });
    expect(claims['roles']).toBeUndefined();
    expect(tokens.access_token).toMatch(/^at_/);
    expect(tokens.refresh_token).toMatch(/^rt_/);
  });

  it('records what was issued by its fingerprint, and until when it lives', async () => {
    const { tokens, application } = await signedIn(server);
    const { events } = await server.subjects.audit.list({
      types: ['token.issued'],
      clientId: application.clientId,
    });
    const issued = events.at(-1)?.payload['issued'] as {
      kind: string;
      fingerprint: string;
      expires_at: string;
    }[];
    const { fingerprint } = server.subjects.audit;
    expect(issued.map(({ kind, fingerprint: recorded }) => [kind, recorded])).toEqual([
      ['access_token', fingerprint(tokens.access_token)],
      ['refresh_token', fingerprint(tokens.refresh_token ?? '')],
      ['id_token', fingerprint(tokens.id_token ?? '')],
    ]);
    for (const { expires_at: expiresAt } of issued) expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
  });

  it('asks no question at the second application', async () => {
    const { person } = await signedIn(server);
    const second = await registerApplication(server);
    const request = authorizationRequest(server, second);
    const visited = await person.open(request.url);
    const response = await redeem(server, second, { code: codeOf(visited), verifier: request.verifier });
    expect(response.status).toBe(200);
  });

  it('rotates refresh tokens', async () => {
    const { tokens, application } = await signedIn(server);
    const response = await refresh(server, application, tokens.refresh_token ?? '');
    const next = (await response.json()) as Tokens;
    expect(response.status).toBe(200);
    expect(next.refresh_token).not.toBe(tokens.refresh_token);
    expect(await introspect(server, application, next.access_token)).toMatchObject({ active: true });
  });

  it('answers the same refresh token again with the same successor', async () => {
    const { tokens, application } = await signedIn(server);
    const first = await (await refresh(server, application, tokens.refresh_token ?? '')).json();
    const again = await refresh(server, application, tokens.refresh_token ?? '');
    expect(again.status).toBe(200);
    expect(await again.json()).toEqual(first);
  });

  it('refuses a code that comes twice and revokes what it gave', async () => {
    const { tokens, application, code, verifier } = await signedIn(server);
    const again = await redeem(server, application, { code, verifier });
    expect(again.status).toBe(400);
    expect(await again.json()).toMatchObject({ error: 'invalid_grant' });
    expect(await introspect(server, application, tokens.access_token)).toEqual({ active: false });
    expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(400);
  });

  it('refuses a wrong password by the same page for known and unknown people', async () => {
    const application = await registerApplication(server);
    const { email } = await registerPerson(server);
    const pages = [];
    for (const identifier of [email, 'nobody@example.test']) {
      const visited = await authorize(
        createPerson(server.issuer),
        authorizationRequest(server, application),
        {
          email: identifier,
          password: 'not the password at all',
        },
      );
      pages.push({
        status: visited.status,
        html: visited.html.replaceAll(identifier, 'X').replaceAll(/interaction\/[\w-]+/g, 'interaction/U'),
      });
    }
    expect(pages[0]).toEqual(pages[1]);
    expect(pages[0]?.status).toBe(422);
  });
});
