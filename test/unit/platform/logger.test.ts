import { describe, expect, it } from '@jest/globals';

import { createLogger, type Logger } from '../../../src/platform/logger.ts';
import { prettyLine } from '../../../src/platform/logging/pretty.ts';
import { redactUrl } from '../../../src/platform/logging/redact.ts';
import { runInRequest } from '../../../src/platform/request-context.ts';

function capture(
  format: 'json' | 'pretty' = 'json',
  level: 'info' | 'silent' = 'info',
): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const stream = { write: (line: string): void => void lines.push(line) };
  return { log: createLogger({ level, format, stream }), lines };
}

function logged(fields: object): Record<string, unknown> {
  const { log, lines } = capture();
  log.info(fields, 'message');
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
}

describe('a line of the log', () => {
  it('is one JSON object with level, time and message', () => {
    const { time, ...rest } = logged({ attempt: 3 });
    expect(rest).toEqual({ level: 'info', attempt: 3, msg: 'message' });
    expect(new Date(String(time)).toISOString()).toBe(time);
  });

  it('carries the request id inside a request, and none outside', () => {
    const { log, lines } = capture();
    log.info('before');
    runInRequest({ requestId: 'req-1' }, () => log.child({ part: 'x' }).info('inside'));
    const ids = lines.map((line) => (JSON.parse(line) as { request_id?: string }).request_id);
    expect(ids).toEqual([undefined, 'req-1']);
  });

  it('is left out below the level', () => {
    const { log, lines } = capture();
    log.debug('quiet');
    expect(lines).toEqual([]);
    capture('json', 'silent').log.fatal('quiet');
  });

  it('holds an error with its code and its causes', () => {
    const { log, lines } = capture();
    const cause = Object.assign(new Error('refused by peer'), { code: 'ECONNREFUSED' });
    log.error(Object.assign(new Error('no database', { cause }), { code: 'unavailable' }));
    const { err, msg } = JSON.parse(lines[0] ?? '') as { err: Record<string, unknown>; msg: string };
    expect(msg).toBe('no database');
    expect(err).toMatchObject({
      type: 'Error',
      message: 'no database: refused by peer',
      code: 'unavailable',
    });
    expect(err['stack']).toMatch(/caused by: Error: refused by peer/);
  });
});

describe('redaction', () => {
  it.each([
    'password',
    'newPassword',
    'code',
    'token',
    'access_token',
    'refreshToken',
    'id_token',
    'secret',
    'client_secret',
    'clientSecret',
    'secretKey',
    'authorization',
    'Authorization',
    'cookie',
    'set-cookie',
    'code_verifier',
    'client_assertion',
    'recovery_code',
    'recoveryCodes',
    'device_code',
    'otp',
    'otpauthUri',
    'privateKey',
    'DPoP',
  ])('hides %s at the top, in a group, in a list and in an error', (name) => {
    const values = { [name]: 'hunter2' };
    const error = Object.assign(new Error('x'), { context: values, ...(name === 'code' ? {} : values) });
    const line = JSON.stringify(
      logged({
        ...values,
        group: { deeper: { deepest: values } },
        list: [values, ['hunter3', values]],
        error,
        err: error,
      }),
    );
    expect(line).not.toContain('hunter2');
    expect(line).toContain('hunter3');
    expect(line).toContain('[redacted]');
  });

  it('hides lists, numbers and objects under a secret name, and keeps whether there was one', () => {
    expect(
      logged({ recoveryCodes: ['a', 'b'], code: 123456, secret: { k: 'v' }, password: null, token: true }),
    ).toMatchObject({
      recoveryCodes: '[redacted]',
      code: '[redacted]',
      secret: '[redacted]',
      password: null,
      token: true,
    });
  });

  it('keeps names that only resemble secrets', () => {
    const harmless = {
      token_type: 'Bearer',
      tokens: 3,
      statusCode: 200,
      grant_type: 'authorization_code',
      keys: ['kid'],
    };
    expect(logged(harmless)).toMatchObject(harmless);
  });

  it('hides the bindings of child loggers', () => {
    const { log, lines } = capture();
    log.child({ token: 'hunter2' }).info('message');
    expect(lines[0]).not.toContain('hunter2');
  });

  it('leaves what was logged untouched', () => {
    const fields = { password: 'hunter2', headers: { cookie: 'hunter2' } };
    logged(fields);
    expect(fields).toEqual({ password: 'hunter2', headers: { cookie: 'hunter2' } });
  });

  it('survives circles, great depth and values without a plain form', () => {
    const circle: Record<string, unknown> = {
      name: 'c',
      at: new Date(0),
      big: new Map(),
      bytes: Buffer.from('x'),
    };
    circle['self'] = circle;
    let deep: object = { password: 'hunter2' };
    for (let level = 0; level < 50; level += 1) deep = { deep };
    const line = logged({ circle, deep });
    expect(line).toMatchObject({
      circle: {
        name: 'c',
        self: '[circular]',
        at: '1970-01-01T00:00:00.000Z',
        big: '[Map]',
        bytes: '[Buffer]',
      },
    });
    expect(JSON.stringify(line)).not.toContain('hunter2');
  });

  it.each([
    ['/callback?code=hunter2&state=abc&iss=x', '/callback?code=[redacted]&state=[redacted]&iss=x'],
    [
      'https://rp/cb#access_token=hunter2&token_type=Bearer',
      'https://rp/cb#access_token=[redacted]&token_type=Bearer',
    ],
    [
      'https://op/logout?id_token_hint=h&id_token=hunter2',
      'https://op/logout?id_token_hint=[redacted]&id_token=[redacted]',
    ],
    ['postgres://user:hunter2@db/name', 'postgres://user:[redacted]@db/name'],
    ['redis://:hunter2@cache:6379', 'redis://:[redacted]@cache:6379'],
    ['/oauth/token?grant_type=x', '/oauth/token?grant_type=x'],
    ['https://id.example.com/a@b', 'https://id.example.com/a@b'],
  ])('shows the URL %s as %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
    expect(logged({ url, redirectUri: url })).toMatchObject({ url: shown, redirectUri: shown });
  });
});

describe('a readable line', () => {
  it('has time, level, message and fields on one line', () => {
    const { log, lines } = capture('pretty');
    log.info({ attempt: 3, text: 'two words', group: { a: 1 } }, 'hello');
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}hello {2}attempt=3 {2}text="two words" {2}group=\{"a":1\}\n$/,
    );
  });

  it('puts the stack of an error below it', () => {
    const { log, lines } = capture('pretty');
    log.error(new Error('boom'), 'failed');
    expect(lines[0]).toMatch(/ERROR failed\n {4}Error: boom\n {8}at /);
  });

  it('lets nobody forge a line or move the cursor', () => {
    const { log, lines } = capture('pretty');
    log.warn({ name: 'a\n12:00:00.000 INFO  forged' }, 'b\n12:00:00.000 INFO  forged \u001b[2J');
    expect(lines.join('').trimEnd().split('\n')).toHaveLength(1);
    expect(lines[0]).not.toContain('\u001b');
  });

  it('colours only where asked', () => {
    const line = JSON.stringify({ level: 'warn', time: '2026-01-01T00:00:00.000Z', msg: 'm' });
    expect(prettyLine(line)).not.toContain('\u001b');
    expect(prettyLine(line, { isColoured: true })).toContain('\u001b[33mWARN');
  });

  it('passes on what is not JSON', () => {
    expect(prettyLine('plain\n')).toBe('plain\n');
  });
});
