/**
 * The public keys of a client, which it registered or publishes at its `jwks_uri`: those of `"use": "enc"` are encrypted
 * to and nothing else, all others verify what it signs. The library would take a key that says nothing for both.
 */

interface KeyStore {
  selectForVerify: (options: object) => Key[];
  selectForEncrypt: (options: object) => Key[];
}

interface Key {
  use?: string;
}

/** @param providerClient the library's client, before anything else asks for its keys */
export function keepKeysApart(providerClient: object): void {
  const store = (providerClient as { asymmetricKeyStore: KeyStore }).asymmetricKeyStore;
  const { selectForVerify, selectForEncrypt } = store;
  store.selectForVerify = (options) =>
    selectForVerify.call(store, options).filter(({ use }) => use !== 'enc');
  store.selectForEncrypt = (options) =>
    selectForEncrypt.call(store, options).filter(({ use }) => use === 'enc');
}
