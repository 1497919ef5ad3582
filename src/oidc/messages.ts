/**
 * Which of the protocol's messages can be signed and encrypted, and how: requests of clients (JAR, RFC 9101), and our
 * answers to them (JARM, ID tokens, userinfo, introspection). A client chooses among these by its options
 * (clients/message-algs.ts).
 */
import type { Configuration, KoaContextWithOIDC, Provider } from 'oidc-provider';

import { ENCRYPTION_ALGS, ENCRYPTION_ENCS, CLIENT_SIGNING_ALGS } from '../clients/message-algs.ts';
import type { SigningAlg } from '../keys/signing-key.ts';

type Algs = NonNullable<Configuration['enabledJWA']>;

/** @param signingAlgs those that have a key */
export function messageAlgs(signingAlgs: readonly SigningAlg[]): Algs {
  return {
    requestObjectSigningAlgValues: [...CLIENT_SIGNING_ALGS],
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
const encryptedIdTokens = new WeakMap<object, SignedInside>();

/** What the record tells of a token that nobody but the client can read. */
export interface SignedInside {
  kid?: string;
  /** Seconds since the epoch. */
  exp: number;
}

/**
 * Keeps in mind, for the record, what is told in answers that may be encrypted: whether an introspected token is
 * active, and which of the keys has signed an ID token.
 *
 * @param keys the provider's, in its order: the first that fits signs
 */
export function rememberAnswers(
  provider: Provider,
  keys: readonly { alg?: string | undefined; kid?: string | undefined }[],
): void {
  const model = provider.IdToken as unknown as {
    expiresIn: (...args: unknown[]) => number;
    prototype: { issue: (this: Message, options: { use: string }) => Promise<string> };
  };
  const { issue } = model.prototype;
  model.prototype.issue = function issueRemembered(this: Message, options) {
    const { ctx, client } = this;
    const answer = options.use === 'introspection' ? this.extra.token_introspection : undefined;
    if (ctx && answer) activeAnswers.set(ctx.req, answer.active);
    if (ctx && options.use === 'idtoken' && client.idTokenEncryptedResponseAlg !== undefined) {
      const kid = keys.find(({ alg }) => alg === client.idTokenSignedResponseAlg)?.kid;
      const exp = Math.floor(Date.now() / 1000) + model.expiresIn(ctx, this, client);
      encryptedIdTokens.set(ctx.req, { exp, ...(kid === undefined ? {} : { kid }) });
    }
    return issue.call(this, options);
  };
}

interface Message {
  ctx?: KoaContextWithOIDC;
  client: { idTokenEncryptedResponseAlg?: string; idTokenSignedResponseAlg: string };
  extra: { token_introspection?: { active: boolean } };
}

/** The ID token of this answer, where it is encrypted. */
export function encryptedIdToken({ req }: KoaContextWithOIDC): SignedInside | undefined {
  return encryptedIdTokens.get(req);
}

/** Whether the answer to an introspection says that the token is active, in whichever form it is given. */
export function saysActive({ req, body }: KoaContextWithOIDC): boolean {
  return activeAnswers.get(req) ?? (body as { active?: boolean } | undefined)?.active === true;
}
