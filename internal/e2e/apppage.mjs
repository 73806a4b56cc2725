// @ts-check
// Pages of apps of another origin.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { until } from './browser.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {{ place: import('./browser.mjs').Place, url: string, app: string }} Plan `app` is the origin of the app's page */

/**
 * An app that has the SDK in its own files, and gets at what is inside of it, too.
 * @param {string} code that imports from ./sdk
 * @param {'esm' | 'iife'} [format] iife: a script
 */
export async function bundled(code, format = 'esm') {
  const resolveDir = fileURLToPath(new URL('../../web/static', import.meta.url));
  const result = await build({ stdin: { contents: code, resolveDir }, bundle: true, format, write: false, logOverride: { 'empty-import-meta': 'silent' } });
  return result.outputFiles[0].text;
}

/**
 * Serves a page with a module at the app's origin, in a context of its own.
 * @param {Stage} stage
 * @param {import('playwright-core').Browser} browser
 * @param {Plan} plan
 * @param {string} name
 * @param {string} module
 * @param {(page: import('playwright-core').Page) => Promise<void>} [prepare] called before the page is opened
 */
export async function appPage(stage, browser, plan, name, module, prepare) {
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
  await prepare?.(page);
  await page.goto(plan.app);
  return page;
}

/**
 * Waits for a picture that moves, and for a sound. (waitForFunction takes a promise for an answer, so it cannot read statistics.)
 * @param {import('playwright-core').Page} page
 */
export async function seesAndHears(page) {
  await until('a picture that moves, and a sound', () => page.evaluate(async () => {
    const video = document.querySelector('video');
    if (!video || video.videoWidth === 0 || video.currentTime === 0) return false;
    for (const pc of /** @type {any} */ (globalThis).made) {
      for (const report of (await pc.getStats()).values()) {
        if (report.type === 'inbound-rtp' && report.kind === 'audio' && report.totalAudioEnergy > 0) return true;
      }
    }
    return false;
  }));
}
