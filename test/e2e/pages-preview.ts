/**
 * Writes a picture of every page in every state, for the eyes of whoever changes one:
 * `node test/e2e/pages-preview.ts <folder> [part of a state's name]`.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launchBrowser } from '../support/browser.ts';
import { servePages } from '../support/page-server.ts';
import { pageStates } from '../support/page-states.ts';

const views = [
  { label: '390-light', width: 390, height: 844, colorScheme: 'light', deviceScaleFactor: 1 },
  { label: '390-dark', width: 390, height: 844, colorScheme: 'dark', deviceScaleFactor: 1 },
  { label: '1000-light', width: 1000, height: 820, colorScheme: 'light', deviceScaleFactor: 1 },
  { label: '1000-dark', width: 1000, height: 820, colorScheme: 'dark', deviceScaleFactor: 1 },
  { label: '320-light', width: 320, height: 640, colorScheme: 'light', deviceScaleFactor: 1 },
  // A window of 1000 px at 200 % zoom has 500 CSS pixels of two device pixels each.
  { label: 'zoom-200', width: 500, height: 410, colorScheme: 'light', deviceScaleFactor: 2 },
] as const;

const [folder = 'pages-preview', part = ''] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const server = await servePages(pageStates);
const browser = await launchBrowser();
try {
  for (const { label, width, height, ...rest } of views) {
    const context = await browser.newContext({ viewport: { width, height }, ...rest });
    const page = await context.newPage();
    for (const { name } of pageStates.filter((state) => state.name.includes(part))) {
      await page.goto(server.urlOf(name));
      await page.screenshot({ path: join(folder, `${name}.${label}.png`), fullPage: true });
    }
    await context.close();
  }
} finally {
  await browser.close();
  await server.close();
}
