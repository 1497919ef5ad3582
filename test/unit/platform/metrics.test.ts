import { describe, expect, it } from '@jest/globals';

import { createMetrics, type Metrics } from '../../../src/platform/metrics.ts';

async function lines(metrics: Metrics): Promise<string[]> {
  return (await metrics.render()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('the metrics', () => {
  it.each<[string, (metrics: Metrics) => void, string[]]>([
    [
      'sign-ins by factor and outcome',
      (metrics) => {
        metrics.signIn('success');
        metrics.signIn('success');
        metrics.signIn('refused', 'totp');
      },
      [
        'gatehouse_sign_ins_total{factor="password",outcome="success"} 2',
        'gatehouse_sign_ins_total{factor="totp",outcome="refused"} 1',
      ],
    ],
    [
      'grants by type and outcome',
      (metrics) => {
        metrics.grant('authorization_code', 'success');
        metrics.grant('urn:ietf:params:oauth:grant-type:device_code', 'refused');
      },
      [
        'gatehouse_grants_total{grant_type="authorization_code",outcome="success"} 1',
        'gatehouse_grants_total{grant_type="device_code",outcome="refused"} 1',
      ],
    ],
    [
      'flushes of the audit log',
      (metrics) => {
        metrics.auditFlush({ events: 3, seconds: 0.004, outcome: 'committed' });
        metrics.auditFlush({ events: 9, seconds: 5, outcome: 'failed' });
      },
      [
        'gatehouse_audit_flush_seconds_bucket{le="0.005",outcome="committed"} 1',
        'gatehouse_audit_flush_seconds_count{outcome="failed"} 1',
        'gatehouse_audit_flush_events_sum 3',
        'gatehouse_audit_flush_events_count 1',
      ],
    ],
    [
      'adapter calls',
      (metrics) => metrics.adapterCall({ store: 'redis', operation: 'find', seconds: 0.0004 }),
      ['gatehouse_adapter_seconds_bucket{le="0.0005",store="redis",operation="find"} 1'],
    ],
    [
      'requests',
      (metrics) => metrics.httpRequest({ group: 'token', status: 400, seconds: 0.02 }),
      ['gatehouse_http_request_seconds_count{group="token",status="400"} 1'],
    ],
  ])('count %s', async (_name, act, expected) => {
    const metrics = createMetrics({ isProcessIncluded: false });
    act(metrics);
    expect(await lines(metrics)).toEqual(expect.arrayContaining(expected));
  });

  it('count grant types that clients make up as one', async () => {
    const metrics = createMetrics({ isProcessIncluded: false });
    for (const type of ['made-up-1', 'made-up-2', 'constructor', undefined]) metrics.grant(type, 'refused');
    expect((await lines(metrics)).filter((line) => line.includes('grants'))).toEqual([
      'gatehouse_grants_total{grant_type="other",outcome="refused"} 4',
    ]);
  });

  it('read the hashing pool and the database pool each time they are collected', async () => {
    const metrics = createMetrics({ isProcessIncluded: false });
    const hashing = { running: 2, queued: 5, capacity: 66, computed: 10, refused: 1 };
    const pool = { total: 7, idle: 4, waiting: 3 };
    metrics.watchHashing(() => hashing);
    metrics.watchDatabasePool(() => pool);
    await lines(metrics);
    hashing.computed = 12;
    pool.idle = 0;
    expect(await lines(metrics)).toEqual(
      expect.arrayContaining([
        'gatehouse_hashing_running 2',
        'gatehouse_hashing_queued 5',
        'gatehouse_hashing_capacity 66',
        'gatehouse_hashing_computed_total 12',
        'gatehouse_hashing_rejected_total 1',
        'gatehouse_database_connections{state="idle"} 0',
        'gatehouse_database_connections{state="busy"} 7',
        'gatehouse_database_waiting 3',
      ]),
    );
  });

  it('of two servers in one process are apart', async () => {
    const [first, second] = [createMetrics(), createMetrics()];
    first.signIn('success');
    expect(await first.render()).toContain('gatehouse_sign_ins_total{');
    expect(await second.render()).not.toContain('gatehouse_sign_ins_total{');
    expect(await second.render()).toContain('process_cpu_seconds_total');
  });
});
