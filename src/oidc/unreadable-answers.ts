/**
 * An answer that was to be encrypted to a client whose key cannot be had: the library would fail a second time while it
 * tells the client so, in the same way. The person sees why on a page, and nothing is sent in the clear.
 */
import { type Configuration, errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider';

type RenderError = NonNullable<Configuration['renderError']>;

/** To be installed behind the record keeper, so that the refusal is recorded like every other. */
export function tellOnPage(provider: Provider, renderError: RenderError): void {
  provider.use((async (ctx: KoaContextWithOIDC, next: () => Promise<void>) => {
    try {
      await next();
    } catch (error) {
      if (!(error instanceof errors.InvalidClientMetadata) || !ctx.oidc) throw error;
      provider.emit('authorization.error', ctx, error);
      ctx.status = error.statusCode;
      const { error: code, error_description: description } = error;
      await renderError(ctx, { error: code, ...(description && { error_description: description }) }, error);
    }
  }) as unknown as Parameters<Provider['use']>[0]);
}
