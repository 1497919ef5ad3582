import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import * as openid from 'openid-client';

import { createPairwiseSubjects } from '../../../src/accounts/pairwise-subjects.ts';
import type { NewClient } from '../../../src/clients/service.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { ask, redeemFor, registerApi, registerRole, registerVisitor, tokensOf } from '../../support/apis.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  introspect,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { startLogoutReceiver } from '../../support/logout-receiver.ts';
import { createPerson, type Person } from '../../support/person.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
});
afterAll(() => server.stop());

type Credentials = Awaited<ReturnType<typeof registerPerson>>;

function registerPairwise(host: string, overrides: Partial<NewClient> = {}): Promise<Application> {
  return registerApplication(server, {
    redirectUris: [`https://${host}/callback`],
    subjectType: 'pairwise',
    ...overrides,
  });
}

async function signIn(
  application: Application,
  credentials: Credentials,
  {
    person = createPerson(server.issuer),
    parameters = {},
  }: { person?: Person; parameters?: Record<string, string> } = {},
) {
  const request = authorizationRequest(server, application, parameters);
  const code = codeOf(await authorize(person, request, credentials));
  const tokens = await tokensOf(await redeem(server, application, { code, verifier: request.verifier }));
  return { tokens, sub: subOf(tokens), person };
}

function subOf({ id_token: idToken = '' }: Tokens): string {
  return String(decodeJwt(idToken).sub);
}

describe('the subject of a pairwise client', () => {
  it('is the same in one sector, another in another, and never the public one', async () => {
    const credentials = await registerPerson(server);
    const [one, two, elsewhere, open] = await Promise.all([
      registerPairwise('shop.example'),
      registerPairwise('shop.example'),
      registerPairwise('maps.example'),
      registerApplication(server),
    ]);
    const subs = [];
    for (const application of [one, two, elsewhere, open]) {
      subs.push((await signIn(application, credentials)).sub);
    }
    const [inOne, inTwo, inElsewhere, inOpen] = subs;
    expect(inTwo).toBe(inOne);
    expect(inElsewhere).not.toBe(inOne);
    expect(inOpen).toBe(credentials.account.sub);
    expect([inOne, inElsewhere]).not.toContain(credentials.account.sub);
  });

  it('is one for however many processes ask at once', async () => {
    const { account } = await registerPerson(server);
    const { db, clock } = server.state;
    const told = await Promise.all(
      Array.from({ length: 20 }, () =>
        createPairwiseSubjects({ db, clock }).find(account.sub, 'crowd.example'),
      ),
    );
    expect(new Set(told).size).toBe(1);
  });

  it('is what every answer says, and the public one is in none', async () => {
    const credentials = await registerPerson(server);
    const { sub: publicSub } = credentials.account;
    const application = await registerPairwise('answers.example');
    const { tokens, sub } = await signIn(application, credentials);
    const refreshed = await tokensOf(await refresh(server, application, tokens.refresh_token ?? ''));
    const config = await openid.discovery(
      new URL(server.issuer),
      application.clientId,
      application.secret,
      undefined,
      { execute: [openid.allowInsecureRequests] },
    );
    expect(config.serverMetadata().subject_types_supported).toEqual(['public', 'pairwise']);
    // The library refuses an answer about anybody else.
    const userinfo = await openid.fetchUserInfo(config, refreshed.access_token, sub);
    const introspected = [
      await introspect(server, application, refreshed.access_token),
      await introspect(server, application, refreshed.refresh_token ?? ''),
    ];
    expect(introspected.map(({ sub: told }) => told)).toEqual([sub, sub]);
    const told = JSON.stringify([decodeJwt(refreshed.id_token ?? ''), userinfo, introspected, tokens]);
    expect(told).not.toContain(publicSub);
  });

  it('is what an API hears of the client, in a JWT and at introspection', async () => {
    const [jwt, opaque] = await Promise.all([
      registerApi(server, { accessTokenFormat: 'jwt' }),
      registerApi(server, { accessTokenFormat: 'opaque' }),
    ]);
    const application = await registerPairwise('caller.example');
    const roles = [await registerRole(server, jwt, ['read']), await registerRole(server, opaque, ['read'])];
    const visitor = await registerVisitor(server, { roles, application });
    const answers: unknown[] = [];
    for (const api of [jwt, opaque]) {
      const asked = await ask(server, visitor, { resource: api.identifier, scope: 'openid read' });
      const tokens = await tokensOf(await redeemFor(server, application, asked, api.identifier));
      const { sub } = decodeJwt(tokens.id_token ?? '');
      const [byApi, byClient] = await Promise.all([
        introspect(server, api.standing, tokens.access_token),
        introspect(server, application, tokens.access_token),
      ]);
      expect([byApi['sub'], byClient['sub']]).toEqual([sub, sub]);
      if (api === jwt) expect(decodeJwt(tokens.access_token).sub).toBe(sub);
      answers.push(byApi, byClient, tokens);
      if (api === jwt) answers.push(decodeJwt(tokens.access_token));
    }
    expect(JSON.stringify(answers)).not.toContain(visitor.credentials.account.sub);
  });

  it('is the one that was imported', async () => {
    const credentials = await registerPerson(server);
    const { pairwiseSubjects } = server.subjects;
    const accountId = credentials.account.id;
    const subject = { accountId, sector: 'import.example', sub: 'b0a5-from-elsewhere' };
    await pairwiseSubjects.importSubject(subject, OPERATOR);
    expect((await signIn(await registerPairwise('import.example'), credentials)).sub).toBe(subject.sub);

    const other = await registerPerson(server);
    await expect(
      pairwiseSubjects.importSubject({ ...subject, accountId: other.account.id }, OPERATOR),
    ).rejects.toMatchObject({ code: 'sub_taken' });
    await expect(
      pairwiseSubjects.importSubject({ ...subject, sub: 'another' }, OPERATOR),
    ).rejects.toMatchObject({ code: 'sub_taken' });
    await expect(
      pairwiseSubjects.importSubject({ ...subject, sub: 'white space' }, OPERATOR),
    ).rejects.toMatchObject({ code: 'sub_invalid' });
    await expect(
      pairwiseSubjects.importSubject({ ...subject, sector: 'https://shop.example' }, OPERATOR),
    ).rejects.toMatchObject({ code: 'sector_invalid' });
    await expect(
      pairwiseSubjects.importSubject({ ...subject, accountId: uuidv7() }, OPERATOR),
    ).rejects.toMatchObject({ code: 'account_not_found' });
  });

  it('leads back to the account, in its own sector only', async () => {
    const { account } = await registerPerson(server);
    const { pairwiseSubjects } = server.subjects;
    const sub = await pairwiseSubjects.find(account.sub, 'back.example');
    expect(await pairwiseSubjects.resolve(sub, 'back.example')).toBe(account.sub);
    expect(await pairwiseSubjects.resolve(sub, 'other.example')).toBeUndefined();
    expect(await pairwiseSubjects.resolve(account.sub, 'back.example')).toBeUndefined();
  });

  it('ends with the account', async () => {
    const { account } = await registerPerson(server);
    await server.subjects.pairwiseSubjects.find(account.sub, 'end.example');
    await server.database.db.query('delete from accounts where id = $1', [account.id]);
    const { rows } = await server.database.db.query('select 1 from pairwise_subjects where account_id = $1', [
      account.id,
    ]);
    expect(rows).toEqual([]);
  });
});

describe('an id_token_hint of a pairwise client', () => {
  it('keeps who is signed in without a question, and asks for anybody else', async () => {
    const credentials = await registerPerson(server);
    const application = await registerPairwise('hint.example');
    const { tokens, person } = await signIn(application, credentials);
    const hint = { id_token_hint: tokens.id_token ?? '', prompt: 'none' };
    const again = await signIn(application, credentials, { person, parameters: hint });
    expect(again.sub).toBe(subOf(tokens));

    const stranger = await registerPerson(server);
    const { person: another } = await signIn(application, stranger);
    const visited = await another.open(authorizationRequest(server, application, hint).url);
    expect(visited.url.searchParams.get('error')).toBe('login_required');
  });
});

describe('the subject that a pairwise client asks for', () => {
  it('is the one that it knows, and never the public one', async () => {
    const credentials = await registerPerson(server);
    const application = await registerPairwise('claims.example');
    const { sub, person } = await signIn(application, credentials);
    const asking = (value: string): string => {
      const claims = JSON.stringify({ id_token: { sub: { value } } });
      return authorizationRequest(server, application, { prompt: 'none', claims }).url;
    };
    expect((await person.open(asking(sub))).url.searchParams.get('error')).toBeNull();
    const refused = await person.open(asking(credentials.account.sub));
    expect(refused.url.searchParams.get('error')).toBe('login_required');
  });

  it('may be hinted at when signing out', async () => {
    const credentials = await registerPerson(server);
    const application = await registerPairwise('out.example');
    const { tokens, person } = await signIn(application, credentials);
    const url = `${server.issuer}/oauth/logout?id_token_hint=${tokens.id_token ?? ''}`;
    const page = await person.open(url);
    expect([page.status, page.html.includes('name="logout"')]).toEqual([200, true]);
  });
});

describe('what ends a sign-in', () => {
  it.each(['disable', 'signOut'] as const)('ends the tokens of a pairwise client too: %s', async (way) => {
    const credentials = await registerPerson(server);
    const { id, sub } = credentials.account;
    const application = await registerPairwise('ending.example');
    const { tokens } = await signIn(application, credentials);
    if (way === 'disable') await server.subjects.accounts.disable(id, OPERATOR);
    else await server.subjects.signOut.everywhere({ id, sub }, OPERATOR, { offline: true });
    await withinASecond(async () => {
      expect(await introspect(server, application, tokens.access_token)).toEqual({ active: false });
    });
    expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(400);
  });

  it('tells the application by the name that it knows', async () => {
    const receiver = await startLogoutReceiver();
    try {
      const credentials = await registerPerson(server);
      const application = await registerPairwise('told.example', {
        backchannelLogoutUri: `${receiver.origin}/backchannel`,
        backchannelLogoutSessionRequired: false,
      });
      const { sub } = await signIn(application, credentials);
      await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
      await receiver.until(1);
      const [token] = receiver.tokens;
      expect(decodeJwt(token ?? '').sub).toBe(sub);
    } finally {
      await receiver.close();
    }
  });
});
