import { errors } from 'oidc-provider';

import type { Act, ActingPerson } from './authority.ts';

/** The sign-in that a token tells of, and how far it reaches. */
export interface Subject {
  accountId: string;
  grantId: string;
  /** Where it ends with the session. */
  sessionUid?: string;
  /** The client that the person signed in to. */
  signedInTo: string;
  /** The client that the token was issued to. */
  issuedTo: string;
  iat: number;
  exp: number;
  authTime?: number;
  acr?: string;
  amr?: string[];
  act?: Act;
  /** The API it is for. */
  audience?: string;
  /** Absent for an ID token, which gives access to nothing by itself. */
  scope?: string[];
  jkt?: string;
  certificate?: string;
  parents: string[];
  /** Clients that got it for one of another client. */
  through?: string[];
  /** People who act already, and with whose sign-in it ends. */
  actors?: ActingPerson[];
  /** By API, what the tokens that were exchanged for this one permitted there. */
  reach?: Record<string, string[]>;
}

/** The client is told the same whatever it was; the record tells. */
export function refuse(detail: string): errors.InvalidRequest {
  return new errors.InvalidRequest('a token that was presented is not acceptable here', undefined, detail);
}
