/**
 * The public keys of a client, which it registered or publishes at its `jwks_uri`: those of `"use": "enc"` are encrypted
 * to and nothing else, all others verify what it signs. The library would take a key that says nothing for both.
 *
 * Published keys are read again after a minute, whatever their host says of caching. The library reads them again only
 * when a signature fits none that it has: a key that was taken back would verify for ever, and a new one would have to
 * wait for as long as the answer may be cached (OIDC Core §10.1.1). Where they cannot be read, those that were read last
 * go on for a while.
 */

import { errors, Provider } from 'oidc-provider';

/** How long keys count without a look at their address. */
const FRESH_SECONDS = 60;

/** How long after they were read last keys still count, where their address does not answer. */
const GRACE_SECONDS = 900;

/** The routes that begin with the client, and read its keys no later. */
const AUTHENTICATING: ReadonlySet<string> = new Set([
  'token',
  'introspection',
  'revocation',
  'pushed_authorization_request',
  'device_authorization',
  'backchannel_authentication',
]);

interface KeyStore extends Iterable<Key> {
  /** Of what an address publishes; registered keys are always fresh. In seconds since the epoch. */
  freshUntil?: number;
  fresh: () => boolean;
  refresh: () => Promise<void>;
  clear: () => void;
  selectForVerify: (options: object) => Key[];
  selectForEncrypt: (options: object) => Key[];
}

interface Key {
  use?: string;
}

/** @param providerClient the library's client, before anything else asks for its keys */
export function keepKeys(providerClient: object): void {
  const client = providerClient as { asymmetricKeyStore: KeyStore; clientAuthMethod?: string };
  const store = client.asymmetricKeyStore;
  const { selectForVerify, selectForEncrypt } = store;
  // Where there is no key that fits, the library reads stale ones again, and then asks once more.
  store.selectForVerify = (options) =>
    store.fresh() ? selectForVerify.call(store, options).filter(({ use }) => use !== 'enc') : [];
  store.selectForEncrypt = (options) =>
    selectForEncrypt.call(store, options).filter(({ use }) => use === 'enc');
  readAgain(store);
  if (client.clientAuthMethod === 'self_signed_tls_client_auth') refuseUnreadable(store);
}

function readAgain(store: KeyStore): void {
  const { refresh } = store;
  let readAt = -Infinity;
  store.refresh = async () => {
    if (store.fresh()) return;
    try {
      await refresh.call(store);
      readAt = nowSeconds();
    } catch (error) {
      const mayGoOn = nowSeconds() - readAt <= GRACE_SECONDS && [...store].length > 0;
      if (!mayGoOn) {
        // An answer that was none makes what is kept here fresh to the library.
        store.clear();
        throw error;
      }
      store.freshUntil = nowSeconds() + FRESH_SECONDS;
    } finally {
      store.freshUntil = Math.min(store.freshUntil ?? 0, nowSeconds() + FRESH_SECONDS);
    }
  };
}

/** Where a certificate is compared to them the library answers as if the client were being registered. */
function refuseUnreadable(store: KeyStore): void {
  const { refresh } = store;
  store.refresh = async () => {
    try {
      await refresh.call(store);
    } catch (error) {
      if (!AUTHENTICATING.has(Provider.ctx?.oidc.route ?? '')) throw error;
      throw new errors.InvalidClientAuth("the client's certificates could not be read");
    }
  };
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
