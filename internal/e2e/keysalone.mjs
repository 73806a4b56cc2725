// @ts-check
// From the home page into a call and out of it, by keyboard alone.

import { Room, online } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/** More stops than a page has. */
const STOPS = 80;

/** What has the focus, and what is wrong with that. @param {Page} page */
function focus(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    if (!(element instanceof HTMLElement) || element === document.body) return { testid: '', name: 'nothing', fault: '' };
    const { outlineStyle, outlineWidth, borderColor, boxShadow } = getComputedStyle(element);
    const { left, top, right, bottom, width, height } = element.getBoundingClientRect();
    const name = `${element.localName} "${element.getAttribute('aria-label') ?? element.textContent?.trim().slice(0, 30)}"`;
    const isMarked = (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2) || boxShadow !== 'none' || !!borderColor && element.matches('iframe');
    const isInSight = width > 0 && height > 0 && right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
    const isQuiet = element.matches('h1, h2, main, [tabindex="-1"]'); // There is nothing to operate.
    const fault = isQuiet ? '' : !isMarked ? 'is not marked' : !isInSight ? 'is out of sight' : '';
    return { testid: element.dataset.testid ?? '', name, fault };
  });
}

/** A person without a mouse. */
class Typist {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
  }

  /** Presses Tab until an element has the focus, which is seen at each stop. @param {string} testid @param {'Tab' | 'Shift+Tab'} [key] */
  async to(testid, key = 'Tab') {
    const seen = [];
    for (let stop = 0; stop < STOPS; stop++) {
      const now = await this.look();
      if (now.testid === testid) return;
      seen.push(now.testid || now.name);
      await this.page.keyboard.press(key);
    }
    throw new Error(`Tab does not lead to ${testid}, but to ${seen.join(', ')}`);
  }

  /** What has the focus, which must be visible. */
  async look() {
    const now = await focus(this.page);
    if (now.fault) throw new Error(`the focus ${now.fault}: ${now.name} ${now.testid}`);
    return now;
  }

  /** Something has the focus after what was done, so that a screen reader does not begin at the top. @param {string} what */
  async keeps(what) {
    const now = await this.look();
    if (now.name === 'nothing') throw new Error(`${what} loses the focus`);
    return now;
  }

  /** @param {string} testid @param {string} [key] */
  async press(testid, key = 'Enter') {
    await this.to(testid);
    await this.page.keyboard.press(key);
  }
}

/** No mouse and no finger is used: `click` of a page made by keys has no position. @param {Page} page */
function forbidMouse(page) {
  return page.addInitScript(() => {
    const pressed = { times: 0 };
    Object.assign(globalThis, { pressed });
    for (const name of ['pointerdown', 'mousedown', 'touchstart']) addEventListener(name, () => pressed.times++, true);
  });
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function keysalone(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const [ann, ben] = await Promise.all(['ann', 'ben'].map(async (name) => {
    const page = await stage.page(browser, name);
    await forbidMouse(page);
    await page.goto(plan.url);
    await online(page);
    const typist = new Typist(page);
    await typist.to('name');
    await page.keyboard.press('ControlOrMeta+A');
    await page.keyboard.type(name);
    await page.keyboard.press('Enter');
    await typist.keeps('a new name');
    return typist;
  }));
  await ann.press('create-room');
  await ann.page.getByTestId('lobby-join').waitFor();
  await ann.keeps('the way to the lobby');
  await lobby(ann);
  const id = await new Room(ann.page).id();
  step('ann made a room, turned her camera off and on in the lobby, and joined');

  await ben.to('room-id');
  await ben.page.keyboard.type(id);
  await ben.page.keyboard.press('Enter');
  await ben.press('lobby-join');
  const [a, b] = [ann, ben].map(({ page }) => new Room(page));
  await Promise.all([a.others(1), b.others(1)]);
  await Promise.all([ann.keeps('that ben came'), ben.keeps('the way into the room')]);
  step('ben typed its id, and joined');

  await call(ann, b);
  step('ann muted, turned her camera off, wrote, raised her hand, and looked at the keys');
  await a.page.keyboard.press('Escape');
  await ann.press('hangup');
  await b.others(0);
  await ann.page.getByTestId('create-room').waitFor();
  await ann.keeps('to hang up');
  step('ann hung up, and is at home');
  for (const { page } of [ann, ben]) {
    const times = await page.evaluate(() => /** @type {any} */ (globalThis).pressed.times);
    if (times !== 0) throw new Error(`a mouse was pressed ${times} times`);
  }
  return {};
}

/** @param {Typist} typist in the lobby */
async function lobby(typist) {
  for (let twice = 0; twice < 2; twice++) {
    await typist.press('lobby-camera', 'Space');
    await typist.keeps('the camera of the lobby');
  }
  await typist.to('lobby-join');
  await typist.page.keyboard.press('Enter');
  await typist.page.getByTestId('hangup').waitFor();
  await typist.keeps('the way into the room');
}

/**
 * What people do in a call, by Tab and by the keys that `?` shows.
 * @param {Typist} typist
 * @param {Room} other
 */
async function call(typist, other) {
  const { page } = typist;
  const remote = other.page.locator('[data-testid=tile]:not([data-local])');
  await typist.press('mute');
  await remote.and(other.page.locator('[data-muted]')).waitFor();
  await typist.keeps('to mute');
  await page.keyboard.press('m');
  await remote.and(other.page.locator(':not([data-muted])')).waitFor();
  await typist.press('camera');
  await remote.and(other.page.locator(':not([data-video])')).waitFor();
  await page.keyboard.press('v');
  await remote.and(other.page.locator('[data-video]')).waitFor();

  if (!(await page.getByTestId('chat-input').isVisible())) await page.keyboard.press('c');
  await typist.to('chat-input');
  await page.keyboard.type('by keys alone');
  await page.keyboard.press('Enter');
  await other.hear('by keys alone');
  await page.keyboard.press('Escape');
  await typist.keeps('to close the chat');

  await page.keyboard.press('h');
  await remote.locator('.hand').waitFor();
  await typist.press('hand');
  await remote.locator('.hand').waitFor({ state: 'hidden' });
  await typist.keeps('to lower the hand');
  await page.keyboard.press('?');
  await page.getByTestId('keys-dialog').waitFor();
  await typist.keeps('the dialog of the keys');
  await page.keyboard.press('Escape');
  await page.getByTestId('keys-dialog').waitFor({ state: 'hidden' });
  await typist.keeps('to close the dialog of the keys');
}
