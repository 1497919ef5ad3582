import { z } from 'zod';

import type { Account } from '../accounts/account.ts';
import { readForm } from '../http/form.ts';
import { seeOther, sendPage } from '../http/page.ts';
import { wordsForScope } from '../http/views/scope-words.ts';
import { instantInWords } from '../http/views/wording.ts';
import type { PresentedDetail } from '../oidc/authorization-details.ts';
import type { RequestedApi } from '../oidc/interactions.ts';
import { recognitionOf } from './unverified.ts';
import type { Visit } from './visit.ts';

const form = z.strictObject({ decision: z.enum(['allow', 'deny']) });

/** Names the application, what it will see and what it may do. */
export async function showConsent({ ctx, door, interaction, at }: Visit): Promise<void> {
  const { client, account, step } = interaction;
  const scopes = step.name === 'consent' ? step.scopes : [];
  const claims = step.name === 'consent' ? step.claims : [];
  const apis = step.name === 'consent' ? step.apis : [];
  const details = step.name === 'consent' ? step.details : [];
  const { host, message } = recognitionOf(client, interaction.redirectUri);
  const roles =
    account && (scopes.includes('roles') || claims.includes('roles')) ? await door.rolesOf(account.id) : [];
  const html = door.renderer.consent({
    action: at('/consent'),
    clientName: client.name,
    ...(host === undefined ? {} : { clientHost: host }),
    ...(message && { message }),
    accountEmail: account?.email ?? '',
    accountUrl: `${door.issuerPath}/account/applications`,
    items: account
      ? [
          ...scopes.flatMap((scope) => wordsForScope(scope, account, roles) ?? []),
          ...claims.flatMap((claim) => itemForClaim(claim, account, roles)),
          ...apis.map(itemForApi),
          ...details.map(itemForDetail),
        ]
      : [],
  });
  sendPage(ctx, html);
}

export async function allowOrDecline({ ctx, door, interaction }: Visit): Promise<void> {
  const { decision } = readForm(ctx, form);
  const { interactions } = door;
  const url =
    decision === 'allow'
      ? await interactions.grantConsent(ctx, interaction)
      : await interactions.declineConsent(ctx, interaction);
  seeOther(ctx, url);
}

interface Item {
  title: string;
  details: string[];
  rows?: PresentedDetail['rows'];
}

/** What the app asks for by its name, beyond the scopes (OIDC Core §5.5). */
function itemForClaim(claim: string, account: Account, roles: readonly string[]): Item[] {
  switch (claim) {
    case 'name':
      return [{ title: 'Your name', details: [account.name ?? 'You have given none'] }];
    case 'preferred_username':
      return [{ title: 'Your user name', details: [account.username ?? 'You have none'] }];
    case 'updated_at':
      return [{ title: 'When your profile last changed', details: [instantInWords(account.updatedAt)] }];
    case 'email':
      return [{ title: 'Your e-mail address', details: [account.email] }];
    case 'email_verified':
      return [
        {
          title: 'Whether your e-mail address is verified',
          details: [account.emailVerified ? 'It is' : 'It is not'],
        },
      ];
    case 'roles':
      return [wordsForScope('roles', account, roles)].flatMap((item) => item ?? []);
    default:
      throw new Error(`the consent page has no words for the claim ${claim}`);
  }
}

/** What the app may do there on the person's behalf. */
function itemForApi({ name, permissions }: RequestedApi): Item {
  return { title: name, details: permissions.map(({ description }) => description) };
}

/** What it asks for in the words of its own type; a person reads the labels, never the fields. */
function itemForDetail({ title, apiName, rows }: PresentedDetail): Item {
  return { title, details: [`At ${apiName}`], rows };
}
