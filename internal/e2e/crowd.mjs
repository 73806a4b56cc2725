// @ts-check
// More people in one room than one can see.

import { until } from './browser.mjs';
import { cameras, hold } from './faces.mjs';
import { fits, readingOrder } from './layout.mjs';
import { Home, Room } from './pages.mjs';
import { appear, place } from './sdkpage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

const tile = '[data-testid=tile]:not([data-local])';

/**
 * Eight people see each other. With the ninth, each sees only the one who speaks, and nobody else's picture is sent. When they are
 * eight again, all are seen.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function crowd(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const people = await place(stage, plan, { size: 9, browser });
  await people.mouse.click(9, 9); // Without a gesture of a user, Chromium plays no sound.
  for (const name of ['ben', 'cid', 'dan', 'eve', 'fay', 'gus', 'hal']) {
    await people.evaluate((name) => /** @type {any} */ (globalThis).join(name), name);
  }
  for (const name of ['ben', 'cid']) await people.evaluate(appear, { name, hums: plan.place.browser === 'firefox' });
  step('eight people are there');
  const home = new Home(await stage.page(browser, 'ann'));
  await hold(home.page, cameras.laptop);
  await home.open(plan.url, 'ann');
  await home.join('pair');
  const { page } = home;
  await new Room(page).others(7);
  /** Whose picture ann's page shows, and who has a ring. */
  const seen = () => page.evaluate((tile) => [...document.querySelectorAll(tile)].flatMap((tile) => {
    const name = tile.getAttribute('aria-label') ?? '';
    return [...(tile.hasAttribute('data-video') ? [name] : []), ...(tile.hasAttribute('data-speaking') ? [`${name} speaks`] : [])];
  }).join(', '), tile);
  const shows = (/** @type {string} */ want) => until(`${want} to be all that is seen`, async () => (await seen()) === want);
  await shows('ben, cid');
  step('eight people are seen');
  await people.evaluate(() => /** @type {any} */ (globalThis).join('ian'));
  await page.locator('.waiting').filter({ hasText: 'see the one who speaks' }).waitFor();
  await shows('');
  step('nine people are there, and nobody speaks');
  if (plan.place.browser === 'chromium') await fits(page, 'nine people');
  const order = await readingOrder(page);
  if (order.length !== 9 || order.at(-1) !== 'You') throw new Error(`the tiles are read as ${order}`);

  /** How many bytes of picture each of the two sends to all the others, in a second. */
  const sent = () => people.evaluate(async () => {
    const page = /** @type {any} */ (globalThis);
    const count = async (/** @type {string} */ name) => {
      let bytes = 0;
      for (const peer of page[name].room.peers.values()) {
        for (const report of (await peer.connection.getStats()).values()) if (report.type === 'outbound-rtp' && report.kind === 'video') bytes += report.bytesSent;
      }
      return bytes;
    };
    const before = await Promise.all(['ben', 'cid'].map(count));
    for (const since = performance.now(); performance.now() - since < 1000;) await new Promise(requestAnimationFrame);
    return (await Promise.all(['ben', 'cid'].map(count))).map((bytes, i) => bytes - (before[i] ?? 0));
  });
  const says = (/** @type {string} */ name, /** @type {number} */ gain) => people.evaluate(([name, gain]) => /** @type {any} */ (globalThis)[name].loud(gain), /** @type {const} */ ([name, gain]));
  await until('no picture to be sent', async () => (await sent()).every((bytes) => bytes === 0));
  step('no picture is sent');
  await says('ben', 0.3);
  await shows('ben, ben speaks');
  await page.locator(tile).filter({ hasText: 'ben' }).locator('video').evaluate((video) => new Promise((shown) => /** @type {HTMLVideoElement} */ (video).requestVideoFrameCallback(shown)));
  await until('the picture of ben alone to be sent', async () => {
    const [ben = 0, cid] = await sent();
    return ben > 0 && cid === 0;
  });
  step('ben speaks, and is seen');
  await says('ben', 0);
  await shows('ben');
  await says('cid', 0.1);
  await shows('cid, cid speaks');
  step('cid speaks, and is seen in his place');
  await people.evaluate(() => /** @type {any} */ (globalThis).ian.room.leave());
  await shows('ben, cid, cid speaks');
  const hint = await page.locator('.waiting').innerText();
  if (hint !== '') throw new Error(`the page still says: ${hint}`);
  step('eight people are seen again');
  return {};
}
