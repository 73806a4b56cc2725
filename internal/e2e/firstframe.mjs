// @ts-check
// From a page's opening to the picture of the other: how many clicks, how long, and whether anything moves meanwhile.

import { until } from './browser.mjs';
import { Room, enter, homes, online } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/** Counts the clicks of a person, and notes the first frame of somebody else and what moves by itself. @param {Page} page */
function measure(page) {
  return page.addInitScript(() => {
    const seen = { clicks: 0, firstFrame: 0, shift: 0, moved: /** @type {string[]} */ ([]) };
    Object.assign(globalThis, { seen });
    addEventListener('click', ({ isTrusted, detail }) => { seen.clicks += isTrusted && detail > 0 ? 1 : 0; }, true);
    new PerformanceObserver((list) => {
      for (const entry of /** @type {any[]} */ (list.getEntries())) {
        if (entry.hadRecentInput) continue;
        seen.shift += entry.value;
        seen.moved.push(...entry.sources.map((/** @type {any} */ { node, previousRect: from, currentRect: to }) => (
          `${node?.nodeName}.${node?.className ?? ''} ${node?.dataset?.testid ?? ''} ${from.x},${from.y} ${from.width}x${from.height} to ${to.x},${to.y} ${to.width}x${to.height}`
        )));
      }
    }).observe({ type: 'layout-shift', buffered: true });
    const watched = new WeakSet();
    const look = () => {
      for (const video of document.querySelectorAll('[data-testid=tile]:not([data-local]) video')) {
        if (watched.has(video)) continue;
        watched.add(video);
        /** @type {HTMLVideoElement} */ (video).requestVideoFrameCallback((now) => (seen.firstFrame ||= now));
      }
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
  });
}

/** @param {Page} page @returns {Promise<{ clicks: number, firstFrame: number, shift: number, moved: string[] }>} */
function measured(page) {
  return page.evaluate(() => /** @type {any} */ (globalThis).seen);
}

/** A layout shift of 0.000, as it is measured for web pages: only the words within a button may change places. @param {Page} page @param {string} who */
async function holdsStill(page, who) {
  const { shift, moved } = await measured(page);
  if (shift >= 0.0005) throw new Error(`on the page of ${who} things moved by themselves, by ${shift}: ${moved.join('; ')}`);
}

/**
 * From the home page to a call: a name and two clicks, by a link and by a ring.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function twoclicks(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const [ann, ben, cid] = await Promise.all(['ann', 'ben', 'cid'].map(async (name) => {
    const page = await stage.page(browser, name);
    await measure(page);
    return page;
  }));
  await ann.context().grantPermissions(['camera', 'microphone', 'clipboard-read', 'clipboard-write']);
  await ann.goto(plan.url);
  await online(ann);
  await ann.getByTestId('name').fill('Ann');
  await ann.getByTestId('create-room').click();
  await enter(ann);
  await new Room(ann).id();
  const toRoom = (await measured(ann)).clicks;
  await ann.getByTestId('copy-link').click();
  await ann.getByTestId('copy-link').filter({ hasText: 'Copied' }).waitFor();
  const link = await ann.evaluate(() => navigator.clipboard.readText());
  await ben.goto(link);
  await enter(ben);
  await Promise.all([new Room(ann).watch(), new Room(ben).watch()]);
  const byLink = { ann: toRoom, ben: (await measured(ben)).clicks };
  if (byLink.ann > 2 || byLink.ben > 1) throw new Error(`the clicks were ${JSON.stringify(byLink)}`);
  await ben.locator('[data-testid=tile][aria-label="Ann"]').waitFor();
  step('a name and two clicks: Ann made a room and went in; a click: Ben opened its link and went in');

  await ben.goto(plan.url);
  await ben.getByTestId('online-list').waitFor();
  await cid.goto(plan.url);
  await online(cid);
  const before = (await measured(ben)).clicks;
  await cid.getByTestId('name').fill('Cid');
  const name = await ben.getByTestId('name').inputValue();
  await cid.locator('[data-user]').filter({ hasText: name }).getByTestId('call').click();
  await ben.getByTestId('incoming-call').filter({ hasText: /Cid.* is calling/ }).getByTestId('accept').click();
  await Promise.all([new Room(cid).watch(), new Room(ben).watch()]);
  const byRing = { cid: (await measured(cid)).clicks, ben: (await measured(ben)).clicks - before };
  if (byRing.cid > 1 || byRing.ben > 1) throw new Error(`the clicks were ${JSON.stringify(byRing)}`);
  step('a name and a click each: Cid called Ben');
  return { byLink, byRing };
}

/**
 * The time from the opening of a page to the first frame of the other, and whether the pages hold still.
 * @param {Stage} stage
 * @param {Plan & { rounds: number }} plan
 * @param {Step} step
 */
export async function firstframe(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create();
  const browser = await stage.browser(plan.place);
  const times = [];
  for (let round = 0; round < plan.rounds; round++) {
    const page = await stage.page(browser, `ben${round}`);
    await measure(page);
    await page.goto(`${plan.url}/r/${id}`);
    await enter(page);
    times.push(Math.round(await until('the first frame', async () => (await measured(page)).firstFrame)));
    await holdsStill(page, `ben in round ${round}`);
    await page.getByTestId('hangup').click();
    await page.getByTestId('online-list').waitFor();
    await page.context().close();
    await new Room(ann.page).others(0);
  }
  const home = await stage.page(browser, 'home');
  await measure(home);
  await home.goto(plan.url);
  await online(home);
  await holdsStill(home, 'somebody at home');
  const median = [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
  step(`from opening the page to the first frame of the other: median ${median} ms of ${times.join(', ')}`);
  return { median, times };
}
