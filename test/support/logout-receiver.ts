import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The server of an application: takes logout notices, and pages loaded in frames, and remembers them. */
export interface LogoutReceiver {
  origin: string;
  /** Logout tokens, in the order they came. */
  tokens: string[];
  /** The query of every page that was loaded in a frame. */
  frames: URLSearchParams[];
  /** What it answers next; the last one stays. `hang` never answers. */
  answerWith: (...statuses: (number | 'hang')[]) => void;
  /** Resolves once so many tokens have come. */
  until: (count: number, timeoutMs?: number) => Promise<void>;
  close: () => Promise<void>;
}

export async function startLogoutReceiver(port = 0): Promise<LogoutReceiver> {
  const tokens: string[] = [];
  const frames: URLSearchParams[] = [];
  let answers: (number | 'hang')[] = [200];

  const onRequest = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname === '/frame') {
      frames.push(url.searchParams);
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>bye</title>');
      return;
    }
    if (url.pathname !== '/backchannel') return void response.end('an application');
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    tokens.push(form.get('logout_token') ?? '');
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer !== 'hang') response.writeHead(answer ?? 200, { 'cache-control': 'no-store' }).end();
  };
  const server = createServer((request, response) => void onRequest(request, response));
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tokens,
    frames,
    answerWith: (...statuses) => {
      answers = statuses;
    },
    until: async (count, timeoutMs = 15_000) => {
      const deadline = Date.now() + timeoutMs;
      while (tokens.length < count) {
        if (Date.now() > deadline) throw new Error(`${tokens.length} of ${count} logout tokens came`);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
