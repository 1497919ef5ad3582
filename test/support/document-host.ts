/** A host by https that client metadata documents are read from, with a certificate that this process believes. */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';

import { randomToken } from '../../src/platform/ids.ts';
import { makeCertificate } from './certificates.ts';

type Answer = object | string | ((req: IncomingMessage, res: ServerResponse) => void);

export interface DocumentHost {
  /** `localhost:<port>` */
  host: string;
  /** The address of a document. */
  at: (path: string) => string;
  /** What stands there: a document, which gets its own address as `client_id` unless it has one, or an answer of its own. */
  serve: (path: string, answer: Answer, headers?: Record<string, string>) => string;
  /** The paths that were asked for. */
  asked: string[];
  stop: () => Promise<void>;
}

export async function startDocumentHost(): Promise<DocumentHost> {
  const before = tls.getCACertificates('default');
  // Of two authorities of one name that are believed, the wrong one can be asked about a certificate.
  const name = `Test authority ${randomToken(6)}`;
  const authority = makeCertificate({ subject: [['CN', name]], isAuthority: true });
  const certificate = makeCertificate({
    subject: [['CN', 'localhost']],
    issuer: authority,
    alternativeNames: [['DNS', 'localhost']],
  });
  tls.setDefaultCACertificates([...before, authority.pem]);
  const answers = new Map<string, { answer: Answer; headers: Record<string, string> }>();
  const asked: string[] = [];
  const server = createServer({ key: certificate.keyPem, cert: certificate.pem }, (req, res) => {
    const path = req.url ?? '/';
    asked.push(path);
    const found = answers.get(path);
    if (!found) return void res.writeHead(404).end();
    if (typeof found.answer === 'function') return found.answer(req, res);
    res.writeHead(200, { 'content-type': 'application/json', ...found.headers });
    return void res.end(
      typeof found.answer === 'string'
        ? found.answer
        : JSON.stringify({ client_id: at(path), ...found.answer }),
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, 'localhost', resolve);
  });
  const host = `localhost:${(server.address() as AddressInfo).port}`;
  const at = (path: string): string => `https://${host}${path}`;
  return {
    host,
    at,
    asked,
    serve: (path, answer, headers = {}) => {
      answers.set(path, { answer, headers });
      return at(path);
    },
    stop: async () => {
      tls.setDefaultCACertificates(before);
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
