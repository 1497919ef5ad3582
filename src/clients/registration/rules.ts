import { AppError } from '../../platform/errors.ts';
import type { ClientDefinition } from '../client.ts';

/**
 * What holds for every client that registered itself, also where an operator changes it later: nobody vouched for it.
 *
 * @throws AppError `invalid_client` (400)
 */
export function checkSelfRegistered({ firstParty, consent, requirePkce }: ClientDefinition): void {
  if (!firstParty && consent !== 'never' && requirePkce) return;
  throw new AppError(
    'invalid_client',
    400,
    'This client registered itself: it is never first-party, people are asked, and PKCE is required. To vouch for the application, register a client for it.',
  );
}
