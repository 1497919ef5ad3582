import type { Browser } from 'playwright-core';
import { chromium } from 'playwright-core';

/**
 * A headless Chromium with an empty profile, which calls nobody but the pages under test. The binary is the
 * system's, or the one in GATEHOUSE_TEST_CHROMIUM. The caller closes it.
 */
export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['GATEHOUSE_TEST_CHROMIUM'] || '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
