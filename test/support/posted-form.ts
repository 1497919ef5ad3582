/** What a browser would post of the page that carries a response to the application (`response_mode=form_post`). */
export function postedForm(html: string): Request {
  const [, action] = /<form\b[^>]*\baction="([^"]*)"/.exec(html) ?? [];
  if (action === undefined) throw new Error(`no form in:\n${html.slice(0, 2000)}`);
  const body = new URLSearchParams();
  for (const [, name = '', value = ''] of html.matchAll(
    /<input\b[^>]*\bname="([^"]*)"[^>]*\bvalue="([^"]*)"/g,
  )) {
    body.append(name, value);
  }
  return new Request(action, { method: 'POST', body });
}
