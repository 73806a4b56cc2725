// @ts-check
// Every page and state, in both themes and at the sizes of phones and desks: looks for faults, and takes pictures.

import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { until } from './browser.mjs';
import { cameras, hold, holdSlides } from './faces.mjs';
import { gate } from './gate.mjs';
import { faultsOfLayout, settled } from './layout.mjs';
import { call } from './lookcall.mjs';
import { filesByCode } from './lookfiles.mjs';
import { chinese, lobby } from './looklobby.mjs';
import { Home, Room, online, visit } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {{ place: import('./browser.mjs').Place, url: string, invite: string, pictures: string, whole: boolean, only: string }} Plan
 *   pictures: the directory for them; whole: all variants of each state, and not a few of them; only: a pattern for the names of states
 *
 * @typedef {object} Variant
 * @property {'light' | 'dark'} theme
 * @property {number} width in CSS pixels
 * @property {number} height
 * @property {boolean} [few] also in the short form, for some states
 * @property {boolean} [axe] also in the short form, for all states, and with axe-core
 */

/** 320 x 256 is what is left of 1280 x 1024 at 400 %. @type {Variant[]} */
const variants = [
  { theme: 'light', width: 1440, height: 900, few: true, axe: true },
  { theme: 'dark', width: 1440, height: 900 },
  { theme: 'light', width: 390, height: 844 },
  { theme: 'dark', width: 390, height: 844, few: true },
  { theme: 'light', width: 844, height: 390, few: true },
  { theme: 'dark', width: 844, height: 390 },
  { theme: 'light', width: 320, height: 256 },
  { theme: 'dark', width: 320, height: 256, few: true, axe: true },
];

/** The states that the short form looks at on phones, too. */
const onPhones = new Set(['home-people', 'lobby', 'chinese-lobby', 'chinese-room', 'room-alone', 'knock', 'chat', 'keyboard', 'room-four', 'files-chosen', 'files-code', 'files-offer', 'files-receiving']);

/** The states that the short form leaves out: they look like another one with other words. */
const onlyWhole = new Set([
  'home-no-id', 'home-name-taken', 'ring-declined', 'ring-in-room', 'refused', 'full', 'kicked', 'locked-out', 'locked-inside', 'other-off', 'barred', 'no-room-id',
  'room-four-guest', 'lobby-off', 'chinese-home', 'files-asking', 'files-sending', 'files-sent', 'files-meant',
]);

/** A phone whose keyboard is open. @type {Variant[]} */
const keyboard = [
  { theme: 'light', width: 390, height: 420, few: true },
  { theme: 'dark', width: 844, height: 180, few: true },
];

const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Collects the faults of all states. */
class Looks {
  /** @type {string[]} */
  faults = [];
  #plan;
  #step;
  #pictures = 0;

  /**
   * @param {Plan} plan
   * @param {(what: string) => void} step
   */
  constructor(plan, step) {
    this.#plan = plan;
    this.#step = step;
  }

  /**
   * Looks at a page as it is.
   * @param {string} state
   * @param {Page} page
   * @param {Variant[]} [at]
   */
  async at(state, page, at = variants) {
    if (!new RegExp(this.#plan.only).test(state) || (!this.#plan.whole && onlyWhole.has(state))) return;
    const before = page.viewportSize();
    const known = this.faults.length;
    for (const { theme, width, height, few = false, axe = false } of at) {
      if (!this.#plan.whole && !(onPhones.has(state) ? few : axe)) continue;
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height });
      await settled(page);
      const name = `${state}-${width}x${height}-${theme}`;
      await page.screenshot({ path: join(this.#plan.pictures, `${name}.png`) });
      this.#pictures++;
      const faults = await faultsOfLayout(page);
      if (this.#plan.whole || axe) faults.push(...await accessibility(page));
      this.faults.push(...faults.map((fault) => `${name}: ${fault}`));
    }
    if (before && at.length > 1) await page.setViewportSize(before);
    this.#step([`${state}: ${this.#pictures} pictures`, ...this.faults.slice(known)].join('\n'));
  }

  /**
   * Looks at a popup, which closes when the window changes.
   * @param {string} state
   * @param {Page} page
   * @param {() => Promise<void>} open
   */
  async opened(state, page, open) {
    if (!new RegExp(this.#plan.only).test(state)) return;
    const before = page.viewportSize();
    for (const variant of variants) {
      if (!variant.axe && !this.#plan.whole) continue;
      await page.setViewportSize({ width: variant.width, height: variant.height });
      await open();
      await page.locator('.popup:popover-open').waitFor();
      await this.at(state, page, [variant]);
      await page.keyboard.press('Escape');
      await page.locator('.popup:popover-open').waitFor({ state: 'detached' });
    }
    if (before) await page.setViewportSize(before);
  }
}

/**
 * What axe-core finds that is serious or critical.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
async function accessibility(page) {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { axe } = /** @type {{ axe: import('axe-core') }} */ (/** @type {unknown} */ (window));
    const { violations } = await axe.run(document, {
      resultTypes: ['violations'],
      rules: { 'target-size': { enabled: true } },
    });
    return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, help, nodes }) => {
      return `axe: ${id}: ${help}: ${nodes.map(({ target, failureSummary }) => `${target} (${failureSummary?.split('\n').pop()?.trim()})`).join('; ')}`;
    });
  });
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {(what: string) => void} step
 */
export async function look(stage, plan, step) {
  await mkdir(plan.pictures, { recursive: true });
  const browser = await stage.browser(plan.place);
  const looks = new Looks(plan, step);
  /** @param {string} name @param {import('./faces.mjs').Camera} camera */
  const open = async (name, camera) => {
    const page = await stage.page(browser, name);
    await hold(page, camera);
    await holdSlides(page);
    const home = new Home(page);
    await home.open(plan.url, name);
    return home;
  };
  const ann = await open('Ann Example', cameras.laptop);
  await looks.at('home-alone', ann.page);
  const [ben, cid, eve] = await Promise.all([
    open('Ben', cameras.phone), open('Cid with quite a long name here', cameras.old), open('\u0633\u0644\u0645\u0649', cameras.desk),
  ]);
  await atHome(looks, ann, eve);
  await ringing(looks, ann, ben);
  await inRoom(looks, plan, [ann, ben, cid, eve]);
  await strangers(looks, stage, browser, plan);
  await lobby(looks, stage, browser, plan);
  await chinese(looks, stage, browser, plan);
  await filesByCode(looks, stage, browser, plan);
  if (looks.faults.length > 0) throw new Error(`${looks.faults.length} faults:\n${looks.faults.join('\n')}\n`);
  return {};
}

/**
 * @param {Looks} looks
 * @param {Home} ann
 * @param {Home} eve
 */
async function atHome(looks, ann, eve) {
  await ann.row('Ben').waitFor();
  await looks.at('home-people', ann.page);
  await ann.page.getByTestId('room-id').fill('???');
  await ann.page.getByTestId('join-room').click();
  await looks.at('home-no-id', ann.page);
  await ann.rename('Ben');
  await ann.notice('name-taken');
  await looks.at('home-name-taken', ann.page);
  await ann.rename('Ann Example');
  await ann.page.getByRole('button', { name: 'Dismiss' }).click();
  await eve.join('attic');
  await eve.notice('not-existing');
  await looks.at('no-such-room', eve.page);
  await eve.page.getByRole('button', { name: 'To the start' }).click();
}

/**
 * @param {Looks} looks
 * @param {Home} ann
 * @param {Home} ben
 */
async function ringing(looks, ann, ben) {
  await ann.row('Ben').getByTestId('call').click();
  await ben.page.getByTestId('incoming-call').waitFor();
  await looks.at('ring-out', ann.page);
  await looks.at('ring-in', ben.page);
  await ben.page.getByTestId('decline').click();
  await ann.notice('declined');
  await looks.at('ring-declined', ann.page);
}

/**
 * @param {Looks} looks
 * @param {Plan} plan
 * @param {Home[]} people
 */
async function inRoom(looks, plan, [ann, ben, cid, eve]) {
  const id = await ann.create({ size: 3, waiting: true });
  const [a, b] = [ann, ben].map(({ page }) => new Room(page));
  await ownPicture(a);
  await looks.at('room-alone', ann.page);
  await ann.page.getByTestId('invite-people').click();
  const dialog = ann.page.getByTestId('invite');
  await dialog.locator('.qr *').first().waitFor();
  await looks.at('invite', ann.page);
  await dialog.locator('summary').click();
  await dialog.getByTestId('invite-make').waitFor();
  await looks.at('invite-more', ann.page);
  await ann.page.getByTestId('invite-close').click();
  await eve.row('Ann Example').getByTestId('call').click();
  await ann.page.getByTestId('incoming-call').waitFor();
  await looks.at('ring-in-room', ann.page);
  await ann.page.getByTestId('decline').click();
  await eve.notice('declined');
  await eve.page.getByRole('button', { name: 'Dismiss' }).click();
  await ben.join(id);
  await ben.notice('waiting');
  await looks.at('door', ben.page);
  await a.knock('Ben').waitFor();
  await looks.at('knock', ann.page);
  await a.knock('Ben').getByTestId('refuse').click();
  await ben.notice('refused');
  await looks.at('refused', ben.page);
  await ben.page.getByRole('button', { name: 'Try again' }).click();
  await a.knock('Ben').waitFor();
  await ann.page.locator('tp-door:not([data-quiet])').waitFor(); // Who has just come is not let in by a press that was meant for another.
  await a.knock('Ben').getByTestId('admit').click();
  await pictures([a, b], 1);
  await talk(looks, a, b);
  await cid.join(id);
  await a.knock('Cid').getByTestId('admit').click();
  const c = new Room(cid.page);
  await pictures([a, b, c], 2);
  await looks.at('room-three', ann.page);
  await eve.join(id);
  await eve.notice('full');
  await looks.at('full', eve.page);
  await eve.page.getByRole('button', { name: 'To the start' }).click();
  await moderate(looks, plan, [ann, ben, cid, eve], id);
}

/**
 * Two people: pictures, chat, path, and what is off.
 * @param {Looks} looks
 * @param {Room} a
 * @param {Room} b
 */
async function talk(looks, a, b) {
  await a.path('direct', 'UDP');
  await looks.at('room-two', a.page);
  for (let i = 0; i < 8; i++) {
    await a.say(`Message ${i} from Ann, which is long enough that it does not stand in one line of the chat.`);
    await b.say(i % 2 ? 'yes' : '\u0645\u0631\u062d\u0628\u0627! \u0643\u064a\u0641 \u0627\u0644\u062d\u0627\u0644\u061f');
  }
  await a.say('https://example.org/a-word-without-any-space-that-is-far-too-long-for-a-line-of-the-chat-on-a-phone');
  await b.say('the newest message');
  await Promise.all([a.hear('the newest message'), b.hear('far-too-long')]);
  await b.page.getByTestId('chat-toggle').click(); // A chat that was opened on purpose stays open at any size.
  await b.page.getByTestId('chat-toggle').click();
  await looks.at('chat', b.page);
  await b.page.setViewportSize({ width: 390, height: 844 });
  const input = b.page.getByTestId('chat-input');
  await input.fill('Something that somebody is writing right now, in some lines that take room');
  await input.focus();
  await looks.at('keyboard', b.page, keyboard);
  await b.page.setViewportSize({ width: 1280, height: 720 });
  await input.fill('');
  await a.page.getByTestId('chat-close').click();
  await b.say('one that nobody has read');
  await a.page.locator('.unread').filter({ hasText: '1' }).waitFor();
  await looks.at('chat-closed', a.page);
  await a.page.getByTestId('mute').click();
  await a.page.getByTestId('camera').click();
  await a.page.getByRole('button', { name: 'Start camera' }).waitFor();
  await looks.at('all-off', a.page);
  await b.page.locator('[data-testid=tile]:not([data-local]):not([data-video])').waitFor();
  await looks.at('other-off', b.page);
  await a.page.getByTestId('mute').click();
  await a.page.getByTestId('camera').click();
  await ownPicture(a);
  await a.page.getByTestId('chat-toggle').click();
  await looks.opened('path-words', a.page, () => a.page.locator('tp-path button').first().click());
  await looks.opened('person-menu', a.page, () => a.page.locator('[data-testid=person-menu]:not([hidden])').first().click());
}

/**
 * @param {Looks} looks
 * @param {Plan} plan
 * @param {Home[]} people
 * @param {string} id
 */
async function moderate(looks, plan, [ann, ben, cid, eve], id) {
  const [a, b] = [ann, ben].map(({ page }) => new Room(page));
  await ann.page.getByTestId('lock').click();
  await b.page.locator('.locked-sign').filter({ hasText: 'Locked' }).waitFor();
  await looks.at('locked-inside', ben.page);
  await looks.at('locked-host', ann.page);
  const tile = ann.page.locator('[data-testid=tile]:not([data-local])').filter({ hasText: 'Cid' });
  await tile.getByTestId('person-menu').click();
  await tile.getByTestId('remove-person').click();
  await looks.at('remove', ann.page);
  await ann.page.getByTestId('confirm-remove').click();
  await cid.notice('kicked');
  await looks.at('kicked', cid.page);
  await eve.join(id);
  await eve.notice('locked');
  await looks.at('locked-out', eve.page);
  await ann.page.getByTestId('hangup').click();
  await ben.page.getByTestId('hangup').click();
  await Promise.all([ann, ben].map(({ page }) => page.getByTestId('create-room').waitFor()));
  const four = await ann.create({ size: 4 });
  const dan = ben;
  const gates = await Promise.all([dan, cid].map(({ page }) => gate(page)));
  for (const home of [dan, eve, cid]) {
    await visit(home.page, `${plan.url}/r/${four}`);
  }
  const rooms = [ann, dan, eve, cid].map(({ page }) => new Room(page));
  await pictures(rooms, 3);
  await looks.at('room-four', rooms[0].page);
  await looks.at('room-four-guest', rooms[1].page);
  await call(looks, rooms.map(({ page }) => page));
  await gates[0]?.shut('refuses');
  await dan.notice('barred');
  await looks.at('barred', dan.page);
  await gates[1]?.shut('away');
  await cid.page.locator('tp-status[data-state=reconnecting]').waitFor();
  await looks.at('reconnecting', cid.page);
  await ann.page.locator('[data-testid=tile][data-away]').first().waitFor();
  await looks.at('others-away', ann.page);
  await Promise.all(rooms.map(({ page }) => page.close())); // Four people keep a machine busy.
}

/**
 * People who cannot come in.
 * @param {Looks} looks
 * @param {Stage} stage
 * @param {import('playwright-core').Browser} browser
 * @param {Plan} plan
 */
async function strangers(looks, stage, browser, plan) {
  const [guest, late, lost] = await Promise.all(['guest', 'late', 'lost'].map((name) => stage.page(browser, name)));
  await guest.goto(plan.invite);
  await online(guest);
  await late.goto(plan.invite);
  await new Home(late).notice('invite-used');
  await looks.at('invite-used', late);
  await lost.goto(`${plan.url}/r/%3F%3F`);
  await new Home(lost).notice('bad-room');
  await looks.at('no-room-id', lost);
  await lost.goto(`${plan.url}/no/such/page`);
  await looks.at('no-such-page', lost);
}

/** Waits until our own camera is shown. @param {Room} room */
async function ownPicture({ page }) {
  await until('our own picture', () => page.evaluate(() => !!document.querySelector('tp-tile[data-local][data-video][data-fit]')));
}

/**
 * Waits until each sees all the others.
 * @param {Room[]} rooms
 * @param {number} others
 */
async function pictures(rooms, others) {
  await Promise.all(rooms.map(async (room) => {
    await room.others(others);
    const all = others + 1;
    await until(`${all} pictures`, () => room.page.evaluate((all) => document.querySelectorAll('tp-tile[data-video][data-fit]').length === all, all));
  }));
}
