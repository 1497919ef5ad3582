import QRCode from 'qrcode';
import { z } from 'zod';

import type { Account } from '../accounts/account.ts';
import type { FactorRefusal } from '../accounts/factors.ts';
import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import { AppError } from '../platform/errors.ts';
import type { Visit } from './visit.ts';

const codeForm = z.strictObject({ code: z.string().max(100).default('') });
const emptyForm = z.strictObject({});

/** The page that fits: the challenge for who has a factor, else enrolment, then its recovery codes. */
export async function showSecondFactor(visit: Visit): Promise<void> {
  const { ctx, door, interaction, at } = visit;
  const account = accountOf(visit);
  if (interaction.isSecondFactorDone) {
    if (!interaction.isNewlyEnrolled) return goOn(visit);
    const renew = { action: at('/recovery-codes/renew') };
    return sendPage(
      ctx,
      door.renderer.recoveryCodes({ kind: 'already-shown', action: at('/recovery-codes'), renew }),
    );
  }
  if (await door.factors.hasTotp(account.id)) return sendPage(ctx, await renderTotp(visit));
  return unlessEnrolledMeanwhile(visit, async () => sendPage(ctx, await renderEnrolment(visit)));
}

export async function submitTotp(visit: Visit): Promise<void> {
  const { ctx, door, interaction } = visit;
  if (interaction.isSecondFactorDone) return goOn(visit);
  const account = accountOf(visit);
  const { code } = readForm(ctx, codeForm);
  const result = await door.factors.verifyTotp({ accountId: account.id, code });
  if (result.kind !== 'ok') return refuse(visit, result, 'totp', await renderTotp(visit, result));
  door.onSignIn('success', 'totp');
  await door.interactions.acceptSecondFactor(ctx, account, { method: 'otp' });
  return goOn(visit);
}

export async function showRecoveryCode(visit: Visit): Promise<void> {
  if (visit.interaction.isSecondFactorDone) return goOn(visit);
  accountOf(visit);
  return sendPage(visit.ctx, renderRecovery(visit));
}

export async function submitRecoveryCode(visit: Visit): Promise<void> {
  const { ctx, door, interaction } = visit;
  if (interaction.isSecondFactorDone) return goOn(visit);
  const account = accountOf(visit);
  const { code } = readForm(ctx, codeForm);
  const result = await door.factors.verifyRecoveryCode({ accountId: account.id, code });
  if (result.kind !== 'ok') return refuse(visit, result, 'recovery_code', renderRecovery(visit, result));
  door.onSignIn('success', 'recovery_code');
  await door.interactions.acceptSecondFactor(ctx, account, { method: 'recovery' });
  return goOn(visit);
}

/** The code that proves the app has the key: from here on the factor counts, and the recovery codes are shown once. */
export async function confirmEnrolment(visit: Visit): Promise<void> {
  const { ctx, door, interaction, at } = visit;
  const account = accountOf(visit);
  if (interaction.isSecondFactorDone || (await door.factors.hasTotp(account.id))) return seeOther(ctx, at());
  const { code } = readForm(ctx, codeForm);
  return unlessEnrolledMeanwhile(visit, async () => {
    const result = await door.factors.confirmTotp({ accountId: account.id, code });
    if (result.kind !== 'ok') return refuse(visit, result, 'totp', await renderEnrolment(visit, result));
    door.onSignIn('success', 'totp');
    await door.interactions.acceptSecondFactor(ctx, account, { method: 'otp', isNewlyEnrolled: true });
    return sendCodes(visit, result.recoveryCodes);
  });
}

/** The second of two clicks, or another tab, finds the factor enrolled already: on to the page that fits now. */
async function unlessEnrolledMeanwhile({ ctx, at }: Visit, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'totp_already_enrolled') throw error;
    seeOther(ctx, at());
  }
}

export async function continueAfterCodes(visit: Visit): Promise<void> {
  readForm(visit.ctx, emptyForm);
  if (!visit.interaction.isSecondFactorDone) return seeOther(visit.ctx, visit.at());
  return goOn(visit);
}

/** The codes were on a page that was reloaded before they were saved: ten new ones, the old ones are void. */
export async function renewCodes(visit: Visit): Promise<void> {
  const { ctx, door, interaction, at } = visit;
  readForm(ctx, emptyForm);
  if (!interaction.isNewlyEnrolled) return seeOther(ctx, at());
  const account = accountOf(visit);
  const codes = await door.factors.regenerateRecoveryCodes(account.id, { kind: 'account', id: account.id });
  return sendCodes(visit, codes);
}

async function goOn({ ctx, door }: Visit): Promise<void> {
  return seeOther(ctx, await door.interactions.continueUrl(ctx));
}

function sendCodes({ ctx, door, at }: Visit, codes: readonly string[]): void {
  sendPage(ctx, door.renderer.recoveryCodes({ kind: 'fresh', codes, action: at('/recovery-codes') }));
}

function refuse(
  { ctx, door }: Visit,
  refusal: FactorRefusal,
  factor: 'totp' | 'recovery_code',
  html: string,
): void {
  door.onSignIn(refusal.kind === 'throttled' ? 'throttled' : 'refused', factor);
  // No guess, so the factors have recorded none.
  if (refusal.kind === 'malformed') ctx.state['refusal'] = 'code_malformed';
  if (refusal.kind === 'throttled') ctx.set('Retry-After', String(refusal.retryAfterSeconds));
  sendPage(ctx, html, refusal.kind === 'throttled' ? 429 : 422);
}

async function renderTotp(visit: Visit, problem?: FactorRefusal): Promise<string> {
  const { door, interaction, at } = visit;
  const hasRecoveryCodes = (await door.factors.remainingRecoveryCodes(accountOf(visit).id)) > 0;
  return door.renderer.totp({
    action: at('/totp'),
    clientName: interaction.client.name,
    ...(hasRecoveryCodes ? { recoveryUrl: at('/recovery-code') } : {}),
    ...(problem ? { problem } : {}),
  });
}

function renderRecovery({ door, interaction, at }: Visit, problem?: FactorRefusal): string {
  return door.renderer.recoveryCode({
    action: at('/recovery-code'),
    totpUrl: at(),
    clientName: interaction.client.name,
    ...(problem ? { problem } : {}),
  });
}

async function renderEnrolment(visit: Visit, problem?: FactorRefusal): Promise<string> {
  const { door, interaction, at } = visit;
  const { secret, otpauthUri } = await door.factors.beginTotpEnrolment(accountOf(visit).id);
  const svg = await QRCode.toString(otpauthUri, { type: 'svg', errorCorrectionLevel: 'M', margin: 4 });
  const isClientsWish =
    interaction.step.name === 'mfa' &&
    (interaction.step.reason === 'client' || interaction.step.reason === 'requested');
  return door.renderer.totpEnrol({
    action: at('/enrol'),
    key: secret,
    qrCodeDataUri: `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`,
    otpauthUri,
    reason: isClientsWish ? { kind: 'client', clientName: interaction.client.name } : { kind: 'account' },
    ...(problem ? { problem } : {}),
  });
}

function accountOf({ interaction }: Visit): Account {
  const { account } = interaction;
  if (!account || account.disabledAt) {
    throw new AppError('session_ended', 403, 'Your session has ended. Go back to the app and start again.');
  }
  return account;
}
