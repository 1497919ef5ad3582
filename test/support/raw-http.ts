/** Requests that no browser and no well-kept library sends: any Host, any request line, any bytes. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect, type AddressInfo } from 'node:net';

export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface RawRequest {
  method?: string;
  /** As it stands in the request line. */
  target: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
}

interface Listening {
  address: Pick<AddressInfo, 'port'>;
}

/** One request with exactly these headers; `Host` too is whatever is given. */
export function sendRaw({ address }: Listening, request: RawRequest): Promise<RawAnswer> {
  const { method = 'GET', target, headers = {}, body } = request;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: '127.0.0.1', port: address.port, method, path: target, headers, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Writes the text as it is and returns what comes back until the server closes. */
export function sendText({ address }: Listening, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(address.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}
