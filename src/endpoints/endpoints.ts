/**
 * The protocol's endpoints that are ours and not the library's. They are called by programs from anywhere, so they stand
 * before what guards our pages against other sites (http/same-site.ts): no cookie counts at any of them.
 */
import type { Middleware } from 'koa';

import type { Api } from '../apis/api.ts';
import type { AuthorizationType } from '../apis/authorization-type.ts';
import type { RegistrationService } from '../clients/registration/service.ts';
import type { Attempt } from '../platform/rate-limit.ts';
import { createRegistrationEndpoint, REGISTRATION_PATH } from './registration.ts';
import { createResourceMetadataEndpoint } from './resource-metadata.ts';

export interface EndpointsOptions {
  issuer: string;
  registration: RegistrationService;
  isRegistrationEnabled: boolean;
  attemptRegistration: (address: string) => Promise<Attempt>;
  findApi: (identifier: string) => Promise<Api | undefined>;
  /** Of authorization details, of all APIs. */
  listTypes: () => readonly AuthorizationType[];
}

/** Below the issuer's path. */
export function createEndpoints({
  issuer,
  registration,
  isRegistrationEnabled,
  attemptRegistration,
  findApi,
  listTypes,
}: EndpointsOptions): Middleware[] {
  return [
    ...(isRegistrationEnabled
      ? [createRegistrationEndpoint({ issuer, registration, attempt: attemptRegistration })]
      : []),
    createResourceMetadataEndpoint({ issuer, findApi, listTypes }),
  ];
}

/** What discovery says of them, and of clients that need no registration. */
export function announcedMetadata({
  issuer,
  registration,
}: {
  issuer: string;
  registration: { enabled: boolean; documentHosts: readonly string[] };
}): Record<string, unknown> {
  return {
    ...(registration.enabled && { registration_endpoint: `${issuer}${REGISTRATION_PATH}` }),
    ...(registration.documentHosts.length > 0 && { client_id_metadata_document_supported: true }),
  };
}
