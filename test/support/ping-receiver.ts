import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedPing {
  authorization: string | undefined;
  contentType: string | undefined;
  body: string;
}

/** The notification endpoint of a client in ping mode (OpenID CIBA Core 1.0 §10.2): takes pings and remembers them. */
export interface PingReceiver {
  url: string;
  pings: ReceivedPing[];
  /** What it answers next; the last one stays. */
  answerWith: (...statuses: number[]) => void;
  close: () => Promise<void>;
}

export async function startPingReceiver(): Promise<PingReceiver> {
  const pings: ReceivedPing[] = [];
  let answers = [204];
  const onRequest = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    pings.push({
      authorization: request.headers.authorization,
      contentType: request.headers['content-type'],
      body: Buffer.concat(chunks).toString(),
    });
    response.writeHead((answers.length > 1 ? answers.shift() : answers[0]) ?? 204).end();
  };
  const server = createServer((request, response) => void onRequest(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/approved`,
    pings,
    answerWith: (...statuses) => {
      answers = statuses;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
