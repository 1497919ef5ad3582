/**
 * What a client may exchange (RFC 8693): nothing, unless an operator names the APIs that it gets tokens for, and how it
 * may act there. What a single request must hold to is in oidc/token-exchange.
 */
import { AppError } from '../platform/errors.ts';
import { isPublic, TOKEN_EXCHANGE, type ClientDefinition } from './client.ts';

const OPTIONS = ['tokenExchangeAudiences', 'tokenExchangeSubjectClients', 'tokenExchangeModes'] as const;

/** @throws AppError `invalid_client` (400) */
export function checkTokenExchange(definition: ClientDefinition): void {
  const isGranted = definition.grantTypes.includes(TOKEN_EXCHANGE);
  const isSet = OPTIONS.some((option) => definition[option] !== undefined);
  if (isSet && !isGranted) throw refuse(`a policy of token exchange is for the grant type ${TOKEN_EXCHANGE}`);
  if (!isGranted) return;
  if (isPublic(definition)) {
    throw refuse('a public client cannot prove who it is, so it may not exchange tokens');
  }
  if (definition.tokenExchangeAudiences === undefined || definition.tokenExchangeModes === undefined) {
    throw refuse(
      'token exchange needs its policy: the APIs that it gives tokens for, and impersonation or delegation or both',
    );
  }
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `This client cannot be registered so: ${advice}.`);
}
