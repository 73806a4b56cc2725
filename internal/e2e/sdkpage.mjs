// @ts-check
// People of the SDK in one page, with no page of ours around them.

import { bundled } from './apppage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/** What the pages of these tests use of the SDK, also what apps cannot get at. */
const INSIDE = `
  import { Client } from './sdk/client.js';
  import { insideOf } from './sdk/peer/peer.js';
  import { signsOfLife } from './sdk/peer/path.js';
  import { getTicket } from './sdk/server/tickets.js';
  Object.assign(globalThis, { Client, getTicket, insideOf, signsOfLife });
`;

/**
 * Opens a page of the server's origin in which people can join one room: after `join('ann')`, `window.ann` has the client and the room
 * of ann. `until` waits for a condition.
 *
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {{ size?: number, browser?: import('playwright-core').Browser }} [options] browser: default: another one
 */
export async function place(stage, plan, { size = 8, browser } = {}) {
  browser ??= await stage.browser(plan.place);
  const page = await stage.page(browser, 'people');
  await page.goto(`${plan.url}/healthz`);
  await page.evaluate(await bundled(INSIDE, 'iife'));
  await page.evaluate((size) => {
    const page = /** @type {any} */ (globalThis);
    page.until = async (/** @type {string} */ what, /** @type {() => unknown} */ ask, ms = 30_000) => {
      for (const deadline = performance.now() + ms; performance.now() < deadline;) {
        const answer = await ask();
        if (answer) return answer;
        await new Promise(requestAnimationFrame);
      }
      throw new Error(`waited in vain for: ${what}`);
    };
    /** @type {unknown[]} */
    page.errors = [];
    page.join = async (/** @type {string} */ name) => {
      const getTicket = () => page.getTicket({ name, url: location.origin });
      const client = new page.Client({ name, storage: null, getTicket, url: location.origin });
      await client.open();
      const room = await client.join('pair', { create: true, size });
      room.eachPeer((/** @type {any} */ peer) => peer.on('error', (/** @type {unknown} */ error) => page.errors.push(`${name}: ${error}`)));
      page[name] = { client, room };
    };
  }, size);
  return page;
}
