// @ts-check
// How long a page in a busy call takes to answer what people press and type, by the browser's own Event Timing.

import { until } from './browser.mjs';
import { Room, homes } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string, people: number, rounds: number, most: number }} Plan most: milliseconds at the 95th percentile */

/** The browser rounds to 8 ms, and tells of nothing that was faster than this. */
const FASTEST_MS = 16;

/** Follows events that belong to an interaction: presses and keys, not the moves of a mouse. @param {Page} page */
function follow(page) {
  return page.evaluate(() => {
    /** @type {Map<number, { name: string, duration: number, at: string }>} the longest event of each interaction */
    const slow = new Map();
    Object.assign(globalThis, { slow });
    new PerformanceObserver((list) => {
      for (const { interactionId, duration, name, target } of /** @type {any[]} */ (list.getEntries())) {
        if (interactionId && duration > (slow.get(interactionId)?.duration ?? 0)) slow.set(interactionId, { name, duration, at: target?.dataset?.testid ?? target?.nodeName });
      }
    }).observe(/** @type {any} */ ({ type: 'event', durationThreshold: 16 }));
  });
}

/**
 * Presses and types what people do in a call. Returns how many interactions that was.
 * @param {Page} page
 * @param {number} round
 */
async function use(page, round) {
  let count = 0;
  for (const testid of ['mute', 'mute', 'chat-toggle', 'chat-toggle']) {
    await page.getByTestId(testid).click();
    count++;
  }
  const input = page.getByTestId('chat-input');
  await input.click();
  const text = `hello ${round}`;
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
  return count + 1 + text.length + 1;
}

/**
 * People in one room, all of them on this machine. One of them uses the page.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function inputs(stage, plan, step) {
  const people = await homes(stage, plan, ...Array.from({ length: plan.people }, (_, place) => `person ${place}`));
  const [ann, ...others] = people;
  const id = await ann.create({ size: 8 });
  for (const other of others) await other.join(id);
  const rooms = people.map(({ page }) => new Room(page));
  await Promise.all(rooms.map((room) => room.others(people.length - 1)));
  await until('all pictures', () => ann.page.evaluate((all) => document.querySelectorAll('tp-tile[data-video]').length === all, people.length));
  await ann.page.getByTestId('chat-input').waitFor();
  await follow(ann.page);
  let count = 0;
  for (let round = 0; round < plan.rounds; round++) count += await use(ann.page, round);
  // Entries come at the end of a frame.
  await ann.page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  /** @type {{ name: string, duration: number, at: string }[]} */
  const slow = await ann.page.evaluate(() => [.../** @type {any} */ (globalThis).slow.values()]);
  if (slow.length > count) throw new Error(`the browser tells of ${slow.length} interactions, and there were ${count}`);
  const times = [...slow.map(({ duration }) => duration), ...Array(count - slow.length).fill(FASTEST_MS)].sort((a, b) => a - b);
  const at = (/** @type {number} */ part) => times[Math.ceil(times.length * part) - 1] ?? 0;
  const slowest = slow.sort((a, b) => b.duration - a.duration).slice(0, 5).map(({ name, duration, at }) => `${name} at ${at} ${duration} ms`);
  step(`${plan.people} people, ${count} inputs: median ${at(0.5)} ms, 95th percentile ${at(0.95)} ms; the slowest: ${slowest.join(', ')}`);
  if (at(0.95) > plan.most) throw new Error(`inputs are answered after ${at(0.95)} ms at the 95th percentile, and not within ${plan.most}`);
  return { median: at(0.5), p95: at(0.95), count };
}
