/** What must hold between the options of message-algs.ts and the rest of a client. */
import { AppError } from '../platform/errors.ts';
import type { ClientDefinition } from './client.ts';
import { isEncryptionKeyFor } from './jwks.ts';
import type { ProtocolOptions } from './protocol-options.ts';

const ENCRYPTED = ['idToken', 'userinfo', 'introspection', 'authorization'] as const;

/** Whether something but the client's authentication needs its public keys. */
export function needsKeys(definition: ProtocolOptions): boolean {
  return signsRequests(definition) || encryptionAlgsOf(definition).length > 0;
}

/** The algorithms that we sign for the client with. */
export function responseSigningAlgs(definition: ClientDefinition): string[] {
  return [
    definition.idTokenAlg,
    definition.authorizationSignedResponseAlg,
    definition.userinfoSignedResponseAlg,
    definition.introspectionSignedResponseAlg,
  ].filter((alg) => alg !== undefined);
}

/** @throws AppError `invalid_client` (400), whose message says what to do */
export function checkMessageOptions(definition: ClientDefinition): void {
  const { kind, jwks, jwksUri } = definition;
  for (const message of ENCRYPTED) {
    const { alg, enc } = encryptionOf(definition, message);
    if (enc !== undefined && alg === undefined) {
      throw refuse(`${snake(message)}_encrypted_response_enc needs ${snake(message)}_encrypted_response_alg`);
    }
  }
  if (kind === 'machine' && hasPeopleOptions(definition)) {
    throw refuse(
      'nobody signs in to a machine client: options of authorization requests, ID tokens and userinfo are not for it',
    );
  }
  if (definition.userinfoEncryptedResponseAlg && !definition.userinfoSignedResponseAlg) {
    throw refuse('userinfo is signed before it is encrypted: userinfo_signed_response_alg is missing');
  }
  if (!needsKeys(definition)) return;
  if (jwks === undefined && jwksUri === undefined) {
    throw refuse(
      signsRequests(definition)
        ? 'signed requests need its public keys, as one of jwks and jwks_uri'
        : 'encrypted answers need its public keys of "use" enc, in one of jwks and jwks_uri',
    );
  }
  for (const alg of jwks ? encryptionAlgsOf(definition) : []) {
    if (!jwks!.keys.some((key) => isEncryptionKeyFor(key, alg))) {
      throw refuse(`its jwks holds no key of "use" enc that ${alg} can encrypt to`);
    }
  }
}

function signsRequests({ requireSignedRequestObject, requestObjectSigningAlg }: ProtocolOptions): boolean {
  return requireSignedRequestObject === true || requestObjectSigningAlg !== undefined;
}

function encryptionOf(
  definition: ProtocolOptions,
  message: (typeof ENCRYPTED)[number],
): { alg: string | undefined; enc: string | undefined } {
  return {
    alg: definition[`${message}EncryptedResponseAlg`],
    enc: definition[`${message}EncryptedResponseEnc`],
  };
}

function encryptionAlgsOf(definition: ProtocolOptions): string[] {
  return ENCRYPTED.map((message) => encryptionOf(definition, message).alg).filter((alg) => alg !== undefined);
}

function hasPeopleOptions(definition: ClientDefinition): boolean {
  return [
    definition.requireSignedRequestObject,
    definition.requestObjectSigningAlg,
    definition.authorizationSignedResponseAlg,
    definition.authorizationEncryptedResponseAlg,
    definition.idTokenEncryptedResponseAlg,
    definition.userinfoSignedResponseAlg,
  ].some((option) => option !== undefined && option !== false);
}

/** `idToken` → `id_token` */
function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `This client cannot be registered so: ${advice}.`);
}
