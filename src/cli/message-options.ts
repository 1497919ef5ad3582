/** The options of a client about signed and encrypted messages, as rows of protocol-options.ts. */
import {
  ENCRYPTION_ALGS,
  ENCRYPTION_ENCS,
  type MESSAGE_OPTIONS,
  CLIENT_SIGNING_ALGS,
  RESPONSE_SIGNING_ALGS,
} from '../clients/message-algs.ts';

interface MessageRow {
  property: keyof typeof MESSAGE_OPTIONS;
  flags: string;
  description: string;
  choices?: readonly string[];
}

export const MESSAGE_ROWS: readonly MessageRow[] = [
  {
    property: 'requireSignedRequestObject',
    flags: '--require-signed-requests',
    description: 'authorization requests must be signed (RFC 9101)',
  },
  {
    property: 'requestObjectSigningAlg',
    flags: '--request-signing-alg <alg>',
    description: 'the one algorithm that it signs them with',
    choices: CLIENT_SIGNING_ALGS,
  },
  signed('authorizationSignedResponseAlg', 'authorization', 'its authorization responses (JARM)'),
  ...encrypted(
    'authorizationEncryptedResponseAlg',
    'authorizationEncryptedResponseEnc',
    'authorization',
    'them',
  ),
  ...encrypted('idTokenEncryptedResponseAlg', 'idTokenEncryptedResponseEnc', 'id-token', 'its ID tokens'),
  signed('userinfoSignedResponseAlg', 'userinfo', 'its userinfo, which then is a JWT'),
  ...encrypted('userinfoEncryptedResponseAlg', 'userinfoEncryptedResponseEnc', 'userinfo', 'it'),
  signed('introspectionSignedResponseAlg', 'introspection', 'introspection, where it accepts a JWT'),
  ...encrypted(
    'introspectionEncryptedResponseAlg',
    'introspectionEncryptedResponseEnc',
    'introspection',
    'it',
  ),
];

function signed(property: MessageRow['property'], message: string, what: string): MessageRow {
  return {
    property,
    flags: `--${message}-signing-alg <alg>`,
    description: `what signs ${what}`,
    choices: RESPONSE_SIGNING_ALGS,
  };
}

function encrypted(
  alg: MessageRow['property'],
  enc: MessageRow['property'],
  message: string,
  what: string,
): MessageRow[] {
  return [
    {
      property: alg,
      flags: `--${message}-encryption-alg <alg>`,
      description: `encrypts ${what} to its key of "use" enc`,
      choices: ENCRYPTION_ALGS,
    },
    {
      property: enc,
      flags: `--${message}-encryption-enc <enc>`,
      description: 'with this cipher, A128CBC-HS256 unless said',
      choices: ENCRYPTION_ENCS,
    },
  ];
}
