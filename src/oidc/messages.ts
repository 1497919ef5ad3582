/**
 * Which of the protocol's messages can be signed and encrypted, and how: requests of clients (JAR, RFC 9101), and our
 * answers to them (JARM, ID tokens, userinfo, introspection). A client chooses among these by its options
 * (clients/message-algs.ts).
 */
import type { Configuration, KoaContextWithOIDC, Provider } from 'oidc-provider';

import { ENCRYPTION_ALGS, ENCRYPTION_ENCS, REQUEST_SIGNING_ALGS } from '../clients/message-algs.ts';
import type { SigningAlg } from '../keys/signing-key.ts';

type Algs = NonNullable<Configuration['enabledJWA']>;

/** @param signingAlgs those that have a key */
export function messageAlgs(signingAlgs: readonly SigningAlg[]): Algs {
  return {
    requestObjectSigningAlgValues: [...REQUEST_SIGNING_ALGS],
    // There is no key of ours that requests could be encrypted to.
    requestObjectEncryptionAlgValues: [],
    requestObjectEncryptionEncValues: [],
    authorizationSigningAlgValues: [...signingAlgs],
    authorizationEncryptionAlgValues: [...ENCRYPTION_ALGS],
    authorizationEncryptionEncValues: [...ENCRYPTION_ENCS],
    idTokenSigningAlgValues: [...signingAlgs],
    idTokenEncryptionAlgValues: [...ENCRYPTION_ALGS],
    idTokenEncryptionEncValues: [...ENCRYPTION_ENCS],
    userinfoSigningAlgValues: [...signingAlgs],
    userinfoEncryptionAlgValues: [...ENCRYPTION_ALGS],
    userinfoEncryptionEncValues: [...ENCRYPTION_ENCS],
    introspectionSigningAlgValues: [...signingAlgs],
    introspectionEncryptionAlgValues: [...ENCRYPTION_ALGS],
    introspectionEncryptionEncValues: [...ENCRYPTION_ENCS],
  };
}

export const MESSAGE_FEATURES = {
  jwtResponseModes: { enabled: true },
  jwtUserinfo: { enabled: true },
  // RFC 9701: signed, for whoever accepts that type.
  jwtIntrospection: { enabled: true },
  encryption: { enabled: true },
} satisfies Configuration['features'];

/** The library announces lists of what it cannot do as empty ones. */
export function announceNoEmptyList(provider: Provider): void {
  provider.use((async (ctx: KoaContextWithOIDC, next: () => Promise<void>) => {
    await next();
    if (ctx.oidc?.route !== 'discovery') return;
    const metadata = ctx.body as Record<string, unknown>;
    ctx.body = Object.fromEntries(
      Object.entries(metadata).filter(([, value]) => !(Array.isArray(value) && value.length === 0)),
    );
  }) as unknown as Parameters<Provider['use']>[0]);
}

const activeAnswers = new WeakMap<object, boolean>();

/** Keeps in mind what an introspection says, for the record: nobody but the client can read it once it is encrypted. */
export function rememberIntrospection(provider: Provider): void {
  const idToken = provider.IdToken.prototype as unknown as {
    issue: (this: Introspection, options: { use: string }) => Promise<string>;
  };
  const { issue } = idToken;
  idToken.issue = function issueRemembered(this: Introspection, options) {
    const answer = options.use === 'introspection' ? this.extra.token_introspection : undefined;
    if (answer && this.ctx) activeAnswers.set(this.ctx.req, answer.active);
    return issue.call(this, options);
  };
}

interface Introspection {
  ctx?: KoaContextWithOIDC;
  extra: { token_introspection?: { active: boolean } };
}

/** Whether the answer to an introspection says that the token is active, in whichever form it is given. */
export function saysActive({ req, body }: KoaContextWithOIDC): boolean {
  return activeAnswers.get(req) ?? (body as { active?: boolean } | undefined)?.active === true;
}
