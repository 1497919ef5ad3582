/**
 * Clients that know people by pairwise identifiers (OIDC Core §8.1): which sector one belongs to, and that it does. A
 * sector is a host: the one of the redirect URIs, or the one of the `sector_identifier_uri`, under which a document
 * names every redirect URI of the sector.
 */
import { z } from 'zod';

import { AppError } from '../platform/errors.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import { CIBA_GRANT, type ClientDefinition, DEVICE_CODE_GRANT } from './client.ts';

/** What the document under a `sector_identifier_uri` said when it was asked. */
export interface SectorDocument {
  uri: string;
  redirectUris: readonly string[];
}

type Pairwise = Pick<ClientDefinition, 'subjectType' | 'sectorIdentifierUri' | 'redirectUris'>;
type Bound = Pairwise & Pick<ClientDefinition, 'grantTypes' | 'jwksUri'>;

const documentSchema = z.array(z.string().max(2_000)).max(1_000);

/** The sector's host in lower case; undefined where people are known by their public identifier. */
export function sectorOf({ subjectType, sectorIdentifierUri, redirectUris }: Pairwise): string | undefined {
  if (subjectType !== 'pairwise') return undefined;
  return hostnameOf(sectorIdentifierUri ?? redirectUris[0] ?? '');
}

/** What can be told without asking anybody. @throws AppError `invalid_client` (400) */
export function checkPairwise(definition: ClientDefinition): void {
  const { kind, subjectType, sectorIdentifierUri, redirectUris, grantTypes } = definition;
  if (sectorIdentifierUri !== undefined) {
    if (subjectType !== 'pairwise') throw refuse('sector_identifier_uri is for the subject type pairwise');
    const parsed = URL.parse(sectorIdentifierUri);
    if (parsed?.protocol !== 'https:' || parsed.hash !== '' || parsed.username !== '') {
      throw refuse('the sector_identifier_uri is an https address (OIDC Registration §5)');
    }
  }
  if (subjectType !== 'pairwise') return;
  if (kind === 'machine') throw refuse('nobody signs in to a machine client, so it knows nobody by any name');
  if (isDecoupled(grantTypes)) checkDecoupled(definition);
  // The person's own machine is the host of every installed application: none of theirs.
  const hosts = new Set(
    redirectUris.map((uri) =>
      kind === 'native' && uri.startsWith('http:') ? '' : (URL.parse(uri)?.host ?? ''),
    ),
  );
  if (sectorIdentifierUri === undefined && (hosts.size !== 1 || hosts.has(''))) {
    throw refuse(
      'its redirect URIs have no one host that could be its sector; give a sector_identifier_uri that lists them',
    );
  }
}

/** OIDC CIBA 1.0 §4: no redirect URI of these flows binds the client to its sector; the address of its keys does. */
function checkDecoupled({ authMethod, jwksUri, sectorIdentifierUri }: ClientDefinition): void {
  const hasPublishedKeys =
    jwksUri !== undefined && ['private_key_jwt', 'self_signed_tls_client_auth'].includes(authMethod);
  if (!hasPublishedKeys || sectorIdentifierUri === undefined) {
    throw refuse(
      'with the device flow or CIBA, a pairwise client authenticates by keys that it publishes (private_key_jwt with a jwks_uri), and has a sector_identifier_uri that lists their address',
    );
  }
}

/**
 * Asks for the document, where there is one.
 *
 * @throws AppError `invalid_client` (400) where it cannot be had, or is not a list of URIs
 */
export async function readSector(
  { sectorIdentifierUri: uri }: Pairwise,
  outgoing: Outgoing | undefined,
): Promise<SectorDocument | undefined> {
  if (uri === undefined) return undefined;
  if (!outgoing) throw new Error('a sector_identifier_uri needs somebody who asks for it');
  const answer = await outgoing
    .request(uri, { headers: { accept: 'application/json' } })
    .catch((cause: unknown) => {
      const reason = cause instanceof AppError ? `${cause.code}: ${cause.message}` : 'it cannot be reached';
      throw refuse(`its sector_identifier_uri was not read (${reason.replace(/\.$/, '')})`, cause);
    });
  if (answer.status !== 200) {
    throw refuse(`its sector_identifier_uri answers ${answer.status} where 200 is wanted`);
  }
  try {
    return { uri, redirectUris: documentSchema.parse(JSON.parse(answer.body.toString('utf8'))) };
  } catch (cause) {
    throw refuse('under its sector_identifier_uri is no JSON array of redirect URIs', cause);
  }
}

/** Whether it must be looked at anew that the client belongs to its sector. */
export function changesSector(changes: { [K in keyof Bound]?: unknown }): boolean {
  const { subjectType, sectorIdentifierUri, redirectUris, grantTypes, jwksUri } = changes;
  return [subjectType, sectorIdentifierUri, redirectUris, grantTypes, jwksUri].some(
    (change) => change !== undefined,
  );
}

/** The document must list every redirect URI (OIDC Core §8.1), or what stands for one. @throws AppError `invalid_client` (400) */
export function assertInSector(definition: Bound, document: SectorDocument | undefined): void {
  if (definition.sectorIdentifierUri === undefined) return;
  if (definition.sectorIdentifierUri !== document?.uri) {
    throw refuse('its sector_identifier_uri was changed by somebody else at the same time; try again');
  }
  const { redirectUris, grantTypes, jwksUri } = definition;
  const bound = isDecoupled(grantTypes) && jwksUri !== undefined ? [...redirectUris, jwksUri] : redirectUris;
  const stranger = bound.find((uri) => !document.redirectUris.includes(uri));
  if (stranger !== undefined) {
    throw refuse(`the document under its sector_identifier_uri does not list ${stranger}`);
  }
}

/** Grants that a person gives elsewhere than in the client's browser. */
function isDecoupled(grantTypes: readonly string[]): boolean {
  return grantTypes.some((type) => type === DEVICE_CODE_GRANT || type === CIBA_GRANT);
}

function hostnameOf(uri: string): string {
  return (URL.parse(uri)?.hostname ?? '').toLowerCase();
}

function refuse(advice: string, cause?: unknown): AppError {
  return new AppError(
    'invalid_client',
    400,
    `This client cannot be registered so: ${advice}.`,
    cause === undefined ? {} : { cause },
  );
}
