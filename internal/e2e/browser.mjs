// @ts-check
// Browsers on the hosts of netlab, and the logs of their pages, which explain a test that fails.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, firefox } from 'playwright-core';

/**
 * Where a browser runs: the namespace of its host, and a home directory whose certificate stores trust the test's authority.
 * A scenario with a Firefox itself runs in that namespace, since the socket that controls Firefox is there.
 * proxy is the host and port of an HTTP proxy, if the browser must use one.
 * @typedef {{ netns: string, home: string, browser: 'chromium' | 'firefox', proxy?: string, args?: string[] }} Place args: more of them, for Chromium
 */

/** Milliseconds that a page may take for anything before the test fails. */
export const patience = 45_000;

const executablePath = fileURLToPath(new URL('netns.sh', import.meta.url));

const chromiumArgs = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Moving pictures and beeps in place of cameras and microphones. WebRTC cannot send the second picture, which is one of depths. Each context has its own permission to use them.
  '--use-fake-device-for-media-stream=device-count=3',
  // The lab has no mDNS responder, so mDNS names would hide the addresses from everybody. And pages of apps come from a test, not
  // from a server, so that the browser would take them for ones of the Internet, which may not reach a server at localhost.
  '--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks',
];

// The same for Firefox, which then needs no permission.
const firefoxUserPrefs = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // Firefox would have to fetch a plugin for H.264. It has VP8.
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** @typedef {{ session: string, resumed?: 'replayed' | 'restored' }} Welcome */

/** Browsers and pages of a scenario. Its browsers, which take seconds to start, serve the next scenario, too. */
export class Stage {
  /** @type {{ at: string, browser: import('playwright-core').Browser }[]} */
  #idle = [];
  /** @type {{ at: string, browser: import('playwright-core').Browser }[]} */
  #used = [];
  /** @type {import('playwright-core').BrowserContext[]} */
  #contexts = [];
  /** @type {{ name: string, page: import('playwright-core').Page, log: string[] }[]} */
  #pages = [];
  /** @type {WeakMap<import('playwright-core').Page, Welcome[]>} */
  #welcomes = new WeakMap();

  /** A browser that this scenario does not have yet. @param {Place} place */
  async browser(place) {
    const at = JSON.stringify(place);
    const i = this.#idle.findIndex((idle) => idle.at === at);
    const [found] = i < 0 ? [{ at, browser: await launch(place) }] : this.#idle.splice(i, 1);
    this.#used.push(found);
    return found.browser;
  }

  /**
   * Opens a page in a context of its own, as if in a browser of its own.
   * @param {import('playwright-core').Browser} browser
   * @param {string} name shown in failures only
   * @param {{ camera?: boolean, locale?: string }} [options] camera false: the person refuses camera and microphone; locale: of the browser, such as zh-CN
   */
  async page(browser, name, { camera = true, locale = 'en-US' } = {}) {
    const asks = browser.browserType().name() === 'chromium';
    const context = await browser.newContext({ locale, permissions: camera && asks ? ['camera', 'microphone'] : [] });
    this.#contexts.push(context);
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    this.follow(page, name);
    return page;
  }

  /**
   * Keeps the log of a page, even of one that opened by itself.
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

  /** The welcomes that a page has had from the server, oldest first. @param {import('playwright-core').Page} page */
  welcomes(page) {
    return this.#welcomes.get(page) ?? [];
  }

  /**
   * Writes a picture of every page to dir, and returns the logs of the pages.
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

  /** Closes all pages, after a scenario that went well. */
  async clear() {
    await Promise.all(this.#contexts.map((context) => context.close()));
    this.#idle.push(...this.#used);
    this.#used = [];
    this.#contexts = [];
    this.#pages = [];
  }

  async close() {
    await Promise.all([...this.#used, ...this.#idle].map(({ browser }) => browser.close()));
  }
}

/** @param {Place} place */
async function launch({ netns, home, browser, proxy, args: more = [] }) {
  // Without a place of its own, PulseAudio's library makes a directory in /tmp for each browser.
  const env = { ...process.env, NETNS: netns, HOME: home, PULSE_RUNTIME_PATH: join(home, 'pulse') };
  if (browser === 'chromium') {
    // Chromium's sandbox refuses to run as root, and namespaces need root.
    const args = [...chromiumArgs, ...more, ...(proxy ? [`--proxy-server=http://${proxy}`] : [])];
    return chromium.launch({ executablePath, chromiumSandbox: false, args, env: { ...env, BROWSER: 'chromium' } });
  }
  // Debian's browser, over WebDriver BiDi. It looks for certificate authorities only in its profile, so it gets one.
  const context = await firefox.launchPersistentContext(join(home, 'firefox'), {
    channel: 'moz-firefox', executablePath, firefoxUserPrefs: { ...firefoxUserPrefs, ...proxyPrefs(proxy) }, env: { ...env, BROWSER: 'firefox-esr' },
  });
  const launched = context.browser();
  if (!launched) throw new Error('Firefox runs, but there is no browser object');
  return launched;
}

/**
 * @param {string | undefined} proxy
 * @returns {Record<string, string | number>}
 */
function proxyPrefs(proxy) {
  if (!proxy) return {};
  const [host, port] = proxy.split(':');
  return { 'network.proxy.type': 1, 'network.proxy.ssl': host, 'network.proxy.ssl_port': Number(port) };
}

/**
 * Asks again and again until there is an answer, and returns it. It is for conditions that no locator can wait for.
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
