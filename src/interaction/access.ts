import { z } from 'zod';

import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import type { Visit } from './visit.ts';

const emptyForm = z.strictObject({});

/** The application asks for a role that the person does not have. */
export async function showAccessDenied({ ctx, door, interaction, at }: Visit): Promise<void> {
  const html = door.renderer.accessDenied({
    action: at('/access'),
    clientName: interaction.client.name,
    role: interaction.step.name === 'access' ? interaction.step.role : '',
    accountEmail: interaction.account?.email ?? '',
    switchAccount: { action: at('/switch') },
  });
  door.interactions.recordAccessDenied(interaction);
  sendPage(ctx, html, 403);
}

/** Back to the application, which is told `access_denied` (RFC 6749 §4.1.2.1). */
export async function denyAccess({ ctx, door }: Visit): Promise<void> {
  readForm(ctx, emptyForm);
  seeOther(ctx, await door.interactions.denyAccess(ctx));
}

export async function switchAccount({ ctx, door, at }: Visit): Promise<void> {
  readForm(ctx, emptyForm);
  await door.interactions.switchAccount(ctx);
  seeOther(ctx, at());
}
