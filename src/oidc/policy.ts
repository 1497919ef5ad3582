/**
 * Which page comes next. Every authorization request asks these prompts in order — login → mfa → access → consent —
 * and the first that is due is shown; the steps themselves never call one another. `prompt=none` turns whatever is due
 * into the error that OIDC Core §3.1.2.6 names.
 */
import { errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';

import type { FactorService } from '../accounts/factors.ts';
import type { Client } from '../clients/client.ts';
import { beyondScopes, requestedAcr, requestedClaims } from './claims-parameter.ts';
import type { AuthorizationDetails } from './authorization-details.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import type { ProviderAccount } from './find-account.ts';
import { type SecondFactorReason, secondFactorDue } from './requirements.ts';
import type { Resources } from './resources.ts';

const { base, Check, Prompt } = interactionPolicy;

export interface PolicyDependencies {
  factors: FactorService;
  resources: Resources;
  authorizationDetails: AuthorizationDetails;
  clientOf: (providerClient: object) => Client | undefined;
  isMfaRequired: boolean;
}

export function createPolicy(dependencies: PolicyDependencies): ReturnType<typeof base> {
  const policy = base();
  const login = policy.get('login');
  if (!login) throw new Error('the library has no login prompt any more');
  login.checks.add(accountGone());
  // Who must be signed in, and how well, is not found out by asking for the password again and again.
  for (const reason of ['id_token_hint', 'claims_id_token_sub_value']) askOnce(login.checks.get(reason));
  for (const reason of ['essential_acrs', 'essential_acr']) login.checks.remove(reason);
  policy.add(mfaPrompt(dependencies), 1);
  policy.add(accessPrompt(dependencies), 2);
  const consent = policy.get('consent');
  if (!consent) throw new Error('the library has no consent prompt any more');
  consent.checks.remove('native_client_prompt');
  // The library's own asks each time, whatever was remembered.
  consent.checks.remove('rar_prompt');
  consent.checks.add(consentDue(dependencies));
  consent.checks.add(detailsDue(dependencies));
  // Kept with the interaction: what the person says yes to is what the page showed, whatever changes meanwhile.
  consent.details = (ctx) => ({
    permissions: dependencies.resources.requested(ctx),
    claims: beyondScopes(requestedClaims(ctx), [...ctx.oidc.requestParamOIDCScopes]),
  });
  return policy;
}

function accountOf(ctx: KoaContextWithOIDC): ProviderAccount | undefined {
  return ctx.oidc.account as unknown as ProviderAccount | undefined;
}

function clientFor(ctx: KoaContextWithOIDC, { clientOf }: PolicyDependencies): Client {
  const client = ctx.oidc.client && clientOf(ctx.oidc.client);
  if (!client) throw new Error('an authorization request without a client');
  return client;
}

/** Whoever signs in anew and still is somebody else than the client named is no answer (OIDC Core §3.1.2.1, §5.5.1). */
function askOnce(check: InstanceType<typeof Check> | undefined): void {
  if (!check) throw new Error('the library no longer checks who must be signed in');
  const { check: isDue, description } = check;
  check.check = async (ctx) => {
    await readHint(ctx);
    const isAsked = await isDue(ctx);
    const hasSignedIn = Boolean((ctx.oidc.result as { login?: object } | undefined)?.login);
    if (isAsked && hasSignedIn) throw new errors.LoginRequired(description);
    return isAsked;
  };
}

/** The library reads it when the request arrives, and no more when the person comes back from our pages. */
async function readHint({ oidc }: KoaContextWithOIDC): Promise<void> {
  const hint = oidc.params?.['id_token_hint'];
  if (typeof hint !== 'string' || oidc.entities.IdTokenHint || !oidc.client) return;
  oidc.entity('IdTokenHint', await oidc.provider.IdToken.validate(hint, oidc.client));
}

/** The session's account was disabled or deleted since: ask who is there. */
function accountGone(): InstanceType<typeof Check> {
  return new Check('account_gone', 'the signed-in account is no longer available', (ctx) =>
    ctx.oidc.session?.accountId !== undefined && !ctx.oidc.account
      ? Check.REQUEST_PROMPT
      : Check.NO_NEED_TO_PROMPT,
  );
}

/** Due while the session has one factor and the account, the client, a role or the request wants two. */
function mfaPrompt(dependencies: PolicyDependencies): InstanceType<typeof Prompt> {
  const reasonFor = async (ctx: KoaContextWithOIDC): Promise<SecondFactorReason | undefined> => {
    const account = accountOf(ctx);
    if (!account) return undefined;
    const roles = await account.roles();
    const params = ctx.oidc.params ?? {};
    const { essential, preferred } = requestedAcr(params['claims']);
    return secondFactorDue({
      acr: ctx.oidc.session?.acr,
      acrValues: [
        ...((params['acr_values'] as string | undefined) ?? '').split(' ').filter(Boolean),
        ...preferred,
      ],
      ...(essential && { essentialAcrs: essential }),
      isEnrolled: await orTemporarilyUnavailable(() => dependencies.factors.hasTotp(account.id)),
      clientRequires: clientFor(ctx, dependencies).requireMfa,
      accountRequires: dependencies.isMfaRequired || roles.some(({ requiresMfa }) => requiresMfa),
    });
  };
  return new Prompt(
    { name: 'mfa', requestable: false },
    async (ctx) => ({ reason: await reasonFor(ctx) }),
    new Check('second_factor', 'a second factor is required', 'interaction_required', async (ctx) =>
      (await reasonFor(ctx)) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
    ),
  );
}

/** A client may demand a role; whoever lacks it is told so and the client gets `access_denied`. */
function accessPrompt(dependencies: PolicyDependencies): InstanceType<typeof Prompt> {
  return new Prompt(
    { name: 'access', requestable: false },
    (ctx) => ({ role: clientFor(ctx, dependencies).requireRole }),
    new Check(
      'role_missing',
      'the account lacks the role that the client requires',
      'access_denied',
      async (ctx) => {
        const { requireRole } = clientFor(ctx, dependencies);
        const account = accountOf(ctx);
        if (requireRole === undefined || !account) return Check.NO_NEED_TO_PROMPT;
        const roles = await account.roles();
        return roles.some(({ name }) => name === requireRole)
          ? Check.NO_NEED_TO_PROMPT
          : Check.REQUEST_PROMPT;
      },
    ),
  );
}

/** Authorization details are asked about, unless they may be remembered and were allowed before (RFC 9396 §5). */
function detailsDue(dependencies: PolicyDependencies): InstanceType<typeof Check> {
  return new Check(
    'details_due',
    'the details need the consent of the person',
    'consent_required',
    async (ctx) =>
      (await dependencies.authorizationDetails.isDue(ctx, clientFor(ctx, dependencies)))
        ? Check.REQUEST_PROMPT
        : Check.NO_NEED_TO_PROMPT,
  );
}

/**
 * Beyond what was never granted (the library's own checks): a client that asks each time, and native clients, whose
 * identity nobody can assure (RFC 8252 §8.6) unless the operator vouches for them.
 */
function consentDue(dependencies: PolicyDependencies): InstanceType<typeof Check> {
  return new Check('consent_due', 'the client requires consent each time', 'consent_required', (ctx) => {
    const { consent, kind } = clientFor(ctx, dependencies);
    const isDue = consent === 'always' || (kind === 'native' && consent !== 'never');
    const isGiven = Boolean((ctx.oidc.result as { consent?: object } | undefined)?.consent);
    return isDue && !isGiven ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT;
  });
}
