/** Responses that the browser posts to the application (OAuth 2.0 Form Post Response Mode), past our own policy. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import type { Browser } from 'playwright-core';

import { authorizationRequest, registerApplication, registerPerson } from '../support/application.ts';
import { launchBrowser } from '../support/browser.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';

let server: TestServer;
let browser: Browser;
let receiver: Server;
let origin: string;
let received: Record<string, string>[] = [];

beforeAll(async () => {
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      if (request.method === 'POST') received.push(Object.fromEntries(new URLSearchParams(body)));
      response.setHeader('content-type', 'text/html').end('<h1>Back</h1>');
    });
  });
  await new Promise<void>((resolve) => {
    receiver.listen(0, '127.0.0.1', resolve);
  });
  origin = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  [browser, server] = await Promise.all([launchBrowser(), startGatehouse()]);
}, 60_000);
afterAll(async () => {
  receiver.close();
  await Promise.all([browser?.close(), server?.stop()]);
});

it.each([
  { mode: 'form_post', javaScriptEnabled: true },
  { mode: 'form_post', javaScriptEnabled: false },
  { mode: 'form_post.jwt', javaScriptEnabled: true },
])(
  '$mode, script $javaScriptEnabled',
  async ({ mode, javaScriptEnabled }) => {
    const application = await registerApplication(server, { redirectUris: [`${origin}/callback`] });
    const who = await registerPerson(server);
    const context = await browser.newContext({ javaScriptEnabled });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (/Content.Security.Policy/i.test(message.text())) complaints.push(message.text());
    });
    const arrive = async (): Promise<Record<string, unknown>> => {
      if (!javaScriptEnabled) await page.getByRole('button', { name: 'Continue' }).click();
      await page.getByRole('heading', { name: 'Back' }).waitFor();
      const { response, ...plain } = received.pop() ?? {};
      received = [];
      return response === undefined ? plain : decodeJwt(response);
    };
    const open = (more: Record<string, string> = {}) =>
      page.goto(
        authorizationRequest(server, application, {
          scope: 'openid',
          response_mode: mode,
          state: 'mine',
          ...more,
        }).url,
      );

    await open();
    await page.getByLabel('E-mail or user name').fill(who.email);
    await page.getByLabel('Password', { exact: true }).fill(who.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    expect(await arrive()).toMatchObject({ code: expect.any(String), state: 'mine', iss: server.issuer });

    await open({ prompt: 'nonsense' });
    expect(await arrive()).toMatchObject({ error: 'invalid_request', state: 'mine', iss: server.issuer });
    expect(complaints).toEqual([]);
    await context.close();
  },
  60_000,
);
