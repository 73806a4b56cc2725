// @ts-check
// A room by keyboard, by screen reader and by finger: names of controls, where the focus goes, what opens and closes.

import { until } from './browser.mjs';
import { Room, homes } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan
 */

const arabic = '\u0645\u0631\u062d\u0628\u0627!';

/** @param {unknown} is @param {unknown} want @param {string} what */
function expect(is, want, what) {
  if (is !== want) throw new Error(`${what} is ${is}, and not ${want}`);
}

/** What has the focus: its data-testid, or the name of its element. @param {Page} page */
function focused(page) {
  return page.evaluate(() => document.activeElement?.getAttribute('data-testid') ?? document.activeElement?.localName);
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {(what: string) => void} step
 */
export async function handling(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', arabic);
  await dismissed(ann, arabic);
  step('the focus is where it was before a notice');
  const id = await ann.create();
  const [a, b] = [ann, ben].map(({ page }) => new Room(page));
  await ann.page.getByTestId('lock').waitFor();
  await until('only the link to look urgent', () => ann.page.evaluate(() => {
    const [lock, link, primary] = ['lock', 'copy-link', 'chat-send'].map((testid) => {
      const button = document.querySelector(`[data-testid=${testid}]`);
      return button && getComputedStyle(button).backgroundColor;
    });
    return link === primary && lock !== primary;
  }));
  await ben.join(id);
  await Promise.all([a.others(1), b.others(1)]);
  await fragments(ann.page);
  step('neither the skip link nor another fragment leaves the room');
  await toggles(ann.page);
  step('the labels of the controls are what they do');
  await menus(ann.page, b);
  step('menus stay open until they are left, and say what they do');
  await drawer(ann.page, b);
  step('the chat opens and closes, and counts what nobody has read');
  const direction = await ann.page.locator('.message:not([data-own]) .text').first().evaluate((text) => getComputedStyle(text).direction);
  expect(direction, 'rtl', 'the direction of an Arabic message');
  const events = await a.events();
  if (!events.includes(`\u2068${arabic}\u2069 came in.`)) throw new Error(`the name mingles with the sentence: ${events}`);
  expect(await ann.page.locator('tp-tile').last().getAttribute('data-local'), '', 'the mark of our own tile on the last one');
  return {};
}

/**
 * What is dismissed gives the focus back to what had it, or to the page if that is gone.
 * @param {import('./pages.mjs').Home} home
 * @param {string} taken a name
 */
async function dismissed({ page }, taken) {
  const room = page.getByTestId('room-id');
  const dismiss = page.getByRole('button', { name: 'Dismiss' });
  const complain = async () => {
    const name = page.getByTestId('name');
    await name.fill(taken);
    await name.press('Enter');
    await dismiss.waitFor();
    await name.press('Escape');
    await room.focus();
  };
  await complain();
  await dismiss.press('Enter');
  expect(await focused(page), 'room-id', 'what has the focus after a notice');
  await complain();
  await dismiss.focus();
  await room.evaluate((field) => field.setAttribute('hidden', ''));
  await dismiss.press('Enter');
  expect(await focused(page), 'main', 'what has the focus after a notice whose cause is gone');
  await room.evaluate((field) => field.removeAttribute('hidden'));
}

/** The fragment of an address is no other page: the call goes on. @param {Page} page */
async function fragments(page) {
  await page.locator('tp-room').evaluate((room) => room.setAttribute('data-marked', ''));
  await page.locator('.skip').focus();
  await page.keyboard.press('Enter');
  expect(await focused(page), 'main', 'what has the focus after the skip link');
  await page.evaluate(() => new Promise((moved) => {
    addEventListener('popstate', () => setTimeout(moved), { once: true });
    location.hash = '#elsewhere';
  }));
  await page.evaluate(() => new Promise((moved) => {
    addEventListener('popstate', () => setTimeout(moved), { once: true });
    history.back();
  }));
  expect(await page.locator('tp-room[data-marked]').count(), 1, 'the number of rooms that stayed');
}

/** @param {Page} page */
async function toggles(page) {
  for (const [testid, on, off, icon] of [['mute', 'Mute', 'Unmute', 'mic'], ['camera', 'Stop camera', 'Start camera', 'camera']]) {
    const button = page.getByTestId(testid);
    const drawing = () => button.locator('use').evaluate((use) => use.getAttribute('href')?.replace(/.*#/, ''));
    await button.and(page.getByRole('button', { name: on, exact: true })).waitFor();
    await button.click();
    await button.and(page.getByRole('button', { name: off, exact: true })).waitFor();
    expect(await drawing(), `${icon}-off`, 'the sign of what is off');
    await button.press('Enter');
    await button.and(page.getByRole('button', { name: on, exact: true })).waitFor();
    expect(await drawing(), icon, 'the sign of what is on');
    expect(await focused(page), testid, 'what has the focus afterwards');
  }
}

/** @param {Page} page @param {Room} other */
async function menus(page, other) {
  const open = page.locator('.popup:popover-open');
  const bars = page.locator('tp-path button').first();
  await bars.click();
  await open.filter({ hasText: 'Direct over UDP' }).waitFor();
  await page.keyboard.press('Escape');
  await open.waitFor({ state: 'detached' });
  const menu = page.locator('[data-testid=person-menu]:visible');
  await menu.click();
  await open.getByRole('menuitem', { name: 'Remove and ban' }).waitFor();
  await other.say(arabic);
  await page.locator('.message').filter({ hasText: arabic }).waitFor();
  // The log has scrolled by the next frame.
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  expect(await open.count(), 1, 'the number of open menus after a message');
  expect(await menu.getAttribute('aria-expanded'), 'true', 'aria-expanded of an open menu');
  await page.getByTestId('remove-person').locator('visible=true').click();
  await page.getByTestId('remove').filter({ hasText: 'banned' }).waitFor();
  expect(await open.count(), 0, 'the number of open menus beside the dialog');
  await page.getByTestId('keep').click();
}

/** @param {Page} page @param {Room} other */
async function drawer(page, other) {
  const toggle = page.getByTestId('chat-toggle');
  await page.getByTestId('chat-input').press('Escape');
  await page.getByTestId('chat-log').waitFor({ state: 'hidden' });
  expect(await focused(page), 'chat-toggle', 'what has the focus when the chat is closed');
  await other.say('are you there?');
  await toggle.locator('.unread').filter({ hasText: '1' }).waitFor();
  const news = await page.locator('.chat-news').innerText();
  if (!news.includes(arabic)) throw new Error(`a screen reader says: ${news}`);
  await toggle.click();
  await until('the field to have the focus', async () => (await focused(page)) === 'chat-input');
  expect(await toggle.locator('.unread').textContent(), '', 'the count of an open chat');
  const end = () => page.getByTestId('chat-log').evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);
  for (let i = 0; i < 20; i++) await other.say(`line ${i}`);
  await page.locator('.message').filter({ hasText: 'line 19' }).waitFor();
  const before = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 420 });
  await until('the newest message to be in sight above the keyboard', async () => (await end()) < 2);
  if (before) await page.setViewportSize(before);
  await page.getByTestId('chat-close').click();
  await toggle.click();
  await until('the newest message to be in sight in a chat that was opened again', async () => (await end()) < 2);
}
