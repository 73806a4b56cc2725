// @ts-check
// An app of another origin that knows of the SDK what the documents say.

import { readFile } from 'node:fs/promises';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string, app: string }} Plan `app` is the origin of the app's page */

/** The first block of JavaScript in README, for another server than the one that it names. @param {string} url */
async function quickStart(url) {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const block = /^```js\n([^]*?)^```/m.exec(readme)?.[1];
  if (!block?.includes('https://turn.example.org/')) throw new Error('README has no block of JavaScript that names https://turn.example.org/');
  return block.replaceAll('https://turn.example.org/', `${url}/`);
}

/**
 * Serves a page with a module at the app's origin, in a context of its own.
 * @param {Stage} stage
 * @param {import('playwright-core').Browser} browser
 * @param {Plan} plan
 * @param {string} name
 * @param {string} module
 */
async function appPage(stage, browser, plan, name, module) {
  const page = await stage.page(browser, name);
  await page.context().route(`${plan.app}/**`, (route) => {
    const isModule = route.request().url().endsWith('/app.js');
    const html = '<!doctype html><title>app</title><body><script type="module" src="/app.js"></script>';
    return route.fulfill({ contentType: isModule ? 'text/javascript' : 'text/html', body: isModule ? module : html });
  });
  await page.addInitScript(() => {
    const Original = RTCPeerConnection;
    /** @type {RTCPeerConnection[]} */
    const made = [];
    Object.assign(globalThis, { made, RTCPeerConnection: class extends Original {
      constructor(/** @type {RTCConfiguration} */ configuration) {
        super(configuration);
        made.push(this);
      }
    } });
  });
  await page.goto(plan.app);
  return page;
}

/** Waits for a picture that moves, and for a sound. @param {import('playwright-core').Page} page */
async function seesAndHears(page) {
  await page.waitForFunction(async () => {
    const video = document.querySelector('video');
    if (!video || video.videoWidth === 0 || video.currentTime === 0) return false;
    for (const pc of /** @type {any} */ (globalThis).made) {
      for (const report of (await pc.getStats()).values()) {
        if (report.type === 'inbound-rtp' && report.kind === 'audio' && report.totalAudioEnergy > 0) return true;
      }
    }
    return false;
  });
}

/**
 * README's quick start, pasted into the page of an app: two people see and hear each other.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function quickstart(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const module = await quickStart(plan.url);
  const first = await appPage(stage, browser, plan, 'first', module);
  const second = await appPage(stage, browser, plan, 'second', module);
  await Promise.all([first, second].map(seesAndHears));
  step('both see and hear each other');
  await second.close();
  await first.waitForFunction(() => !document.querySelector('video'));
  step('the first one sees that the second is gone');
  return {};
}
