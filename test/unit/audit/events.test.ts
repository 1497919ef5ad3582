import { describe, expect, it } from '@jest/globals';

import { auditEvents, splitPayload, type AuditEvent } from '../../../src/audit/events.ts';
import { buildRow } from '../../../src/audit/row.ts';

const untyped = (event: object): AuditEvent => event as AuditEvent;

describe('an audit event', () => {
  it.each(Object.keys(auditEvents))('%s refuses a field that its schema does not name', (type) => {
    const event = untyped({ type, outcome: 'success', payload: { password: 'hunter2' } });
    expect(() => splitPayload(event)).toThrow(type);
    expect(() => splitPayload(event)).not.toThrow('hunter2');
  });

  it('of an unknown type is refused', () => {
    expect(() => splitPayload(untyped({ type: 'toString', outcome: 'success', payload: {} }))).toThrow(
      'Unknown audit event type',
    );
  });

  it('never names the value that was refused', () => {
    const event = untyped({
      type: 'token.issued',
      outcome: 'success',
      payload: { grant_type: 'x', issued: [{ kind: 'at_very_secret', fingerprint: 'f' }] },
    });
    expect(() => splitPayload(event)).toThrow(/issued\.0\.kind/);
    expect(() => splitPayload(event)).not.toThrow(/very_secret/);
  });

  it('parts what can be erased from what cannot', () => {
    const event: AuditEvent = {
      type: 'account.created',
      outcome: 'success',
      payload: { email: 'ann@example.com', name: 'Ann', email_verified: true },
    };
    expect(splitPayload(event)).toEqual({
      payload: { email_verified: true },
      personal: { email: 'ann@example.com', name: 'Ann' },
    });
  });

  it('takes an account by its UUID only, and in one spelling', () => {
    const event = (accountId: string): AuditEvent => ({
      type: 'account.disabled',
      outcome: 'success',
      accountId,
      payload: {},
    });
    expect(() => buildRow(event('ann@example.com'), {}, new Date())).toThrow('not a UUID');
    expect(buildRow(event('0190A0A0-0000-7000-8000-00000000000A'), {}, new Date()).accountId).toBe(
      '0190a0a0-0000-7000-8000-00000000000a',
    );
  });

  it('keeps no more of a user agent than 500 characters', () => {
    const row = buildRow(
      { type: 'server.started', outcome: 'success', payload: {} },
      { userAgent: 'x'.repeat(10_000) },
      new Date(),
    );
    expect(row.personal?.['user_agent']).toHaveLength(500);
  });
});
