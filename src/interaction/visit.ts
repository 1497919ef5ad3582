import type { Context } from 'koa';

import type { AuthenticationService } from '../accounts/authentication.ts';
import type { FactorService } from '../accounts/factors.ts';
import type { Client } from '../clients/client.ts';
import type { Renderer } from '../http/render.ts';
import type { Interaction, Interactions } from '../oidc/interactions.ts';
import type { Clock } from '../platform/clock.ts';

export interface InteractionDoor {
  interactions: Interactions;
  authentication: AuthenticationService;
  factors: FactorService;
  rolesOf: (accountId: string) => Promise<string[]>;
  findClient: (clientId: string) => Promise<Client | undefined>;
  renderer: Renderer;
  /** The issuer's path without a trailing slash: '' or '/auth'. */
  issuerPath: string;
  isHttps: boolean;
  clock: Clock;
  interactionTtlSeconds: number;
  onSignIn: (
    outcome: 'success' | 'refused' | 'throttled' | 'busy',
    factor: 'password' | 'totp' | 'recovery_code',
  ) => void;
}

/** One request of a person to one step. */
export interface Visit {
  ctx: Context;
  door: InteractionDoor;
  interaction: Interaction;
  /** The page of this interaction, with what follows it: `at('/login')`. */
  at: (path?: string) => string;
}
