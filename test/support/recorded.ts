import type { AuditRecord } from '../../src/audit/query.ts';
import type { TestServer } from './gatehouse.ts';

/** What the audit log holds of the request that got this answer. */
export async function recordedOf(
  server: TestServer,
  answer: Response | { headers: Record<string, string | string[] | undefined> },
): Promise<AuditRecord[]> {
  const { headers } = answer;
  const requestId = headers instanceof Headers ? headers.get('x-request-id') : headers['x-request-id'];
  if (typeof requestId !== 'string') throw new Error('the answer carries no X-Request-Id');
  return (await server.subjects.audit.list({ requestId })).events;
}
