// @ts-check
// Browsers on the hosts of netlab, and what the pages said, kept for when a test fails.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, firefox } from 'playwright-core';

/**
 * Where a browser runs: the namespace of its host, and a home directory whose certificate stores trust the test's authority.
 * A scenario with a Firefox is itself played in its namespace, since the socket that tells Firefox what to do is there.
 * @typedef {{ netns: string, home: string, browser: 'chromium' | 'firefox' }} Place
 */

/** Milliseconds that anything in a page may take before the test fails. */
export const patience = 45_000;

const executablePath = fileURLToPath(new URL('netns.sh', import.meta.url));

const chromiumArgs = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A moving picture and a beep in place of camera and microphone. Permission to use them is each context's own.
  '--use-fake-device-for-media-stream',
  // No mDNS responder exists in the lab, so names would hide the addresses even from those who should see them.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

// The same for Firefox, which asks nobody for permission then.
const firefoxUserPrefs = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // It plays H.264 by a plugin that it would have to fetch; VP8 it has.
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** @typedef {{ session: string, resumed?: 'replayed' | 'restored' }} Welcome */

/** Browsers and pages of one scenario. */
export class Stage {
  /** @type {import('playwright-core').Browser[]} */
  #browsers = [];
  /** @type {{ name: string, page: import('playwright-core').Page, log: string[] }[]} */
  #pages = [];
  /** @type {WeakMap<import('playwright-core').Page, Welcome[]>} */
  #welcomes = new WeakMap();

  /** @param {Place} place */
  async browser(place) {
    const browser = await launch(place);
    this.#browsers.push(browser);
    return browser;
  }

  /**
   * A page in a context of its own, which is as good as a person's own browser.
   * @param {import('playwright-core').Browser} browser
   * @param {string} name shown in failures only
   * @param {{ camera?: boolean }} [options] camera false: the person refuses camera and microphone
   */
  async page(browser, name, { camera = true } = {}) {
    const asks = browser.browserType().name() === 'chromium';
    const context = await browser.newContext({ permissions: camera && asks ? ['camera', 'microphone'] : [] });
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    this.follow(page, name);
    return page;
  }

  /**
   * Keeps what a page says, also one that opened by itself.
   * @param {import('playwright-core').Page} page
   * @param {string} name
   */
  follow(page, name) {
    const started = Date.now();
    /** @type {string[]} */
    const log = [];
    /** @type {Welcome[]} */
    const welcomes = [];
    this.#welcomes.set(page, welcomes);
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => log.push(`uncaught: ${error.stack ?? error.message}`));
    page.on('requestfailed', (request) => log.push(`failed: ${request.url()}: ${request.failure()?.errorText}`));
    page.on('websocket', (socket) => {
      /** @param {string} way */
      const frame = (way) => (/** @type {{ payload: string | Buffer }} */ { payload }) => log.push(`${Date.now() - started} ms ${way} ${String(payload).slice(0, 200)}`);
      socket.on('framesent', frame('>'));
      socket.on('framereceived', frame('<'));
      socket.on('framereceived', ({ payload }) => {
        const message = JSON.parse(String(payload));
        if (message.type === 'welcome') welcomes.push(message);
      });
      socket.on('close', () => log.push(`${Date.now() - started} ms the WebSocket closed`));
    });
    page.on('crash', () => log.push('the page crashed'));
    this.#pages.push({ name, page, log });
  }

  /** What the server has welcomed a page with, oldest first. @param {import('playwright-core').Page} page */
  welcomes(page) {
    return this.#welcomes.get(page) ?? [];
  }

  /**
   * Leaves a picture of every page in dir, and returns what the pages said.
   * @param {string} dir
   */
  async report(dir) {
    const lines = [];
    for (const { name, page, log } of this.#pages) {
      lines.push(`--- ${name} at ${page.url().replace(/#.*/, '')}${page.isClosed() ? ' (closed)' : ''}`, ...log);
      if (page.isClosed()) continue;
      const text = await page.locator('body').innerText({ timeout: 2000 }).catch(String);
      lines.push(...text.split('\n').map((line) => `| ${line}`));
      await page.screenshot({ path: join(dir, `${name}.png`), timeout: 5000 }).catch((error) => lines.push(String(error)));
    }
    const report = lines.join('\n');
    await writeFile(join(dir, 'pages.txt'), report);
    return report;
  }

  async close() {
    await Promise.all(this.#browsers.map((browser) => browser.close()));
  }
}

/** @param {Place} place */
async function launch({ netns, home, browser }) {
  const env = { ...process.env, NETNS: netns, HOME: home };
  if (browser === 'chromium') {
    // Chromium's sandbox refuses to run as root, and namespaces need root.
    return chromium.launch({ executablePath, chromiumSandbox: false, args: chromiumArgs, env: { ...env, BROWSER: 'chromium' } });
  }
  // The browser that Debian has, by WebDriver BiDi. It looks for authorities in its profile alone, so it gets one.
  const context = await firefox.launchPersistentContext(join(home, 'firefox'), {
    channel: 'moz-firefox', executablePath, firefoxUserPrefs, env: { ...env, BROWSER: 'firefox-esr' },
  });
  const launched = context.browser();
  if (!launched) throw new Error('Firefox runs without being a browser');
  return launched;
}

/**
 * Asks again and again until the answer is one, and returns it. For what a locator cannot wait for.
 * @template T
 * @param {string} what
 * @param {() => Promise<T | false | null | undefined>} ask
 * @returns {Promise<T>}
 */
export async function until(what, ask) {
  const deadline = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
