// @ts-check
// The controls of a room: keys alone, the menu with words, raised hands, reactions, what a host does, and the small window.

import { until } from './browser.mjs';
import { Room, homes } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan
 */

/** @param {unknown} is @param {unknown} want @param {string} what */
function expect(is, want, what) {
  if (is !== want) throw new Error(`${what} is ${is}, and not ${want}`);
}

/** Waits until a button of the bar says this. @param {Page} page @param {string} testid @param {string} words */
function says(page, testid, words) {
  return page.locator('.tray').getByTestId(testid).and(page.getByRole('button', { name: words, exact: true })).waitFor();
}

/** The tile of a person. @param {Page} page @param {string} name @returns {import('playwright-core').Locator} */
function tile(page, name) {
  return page.locator(`[data-testid=tile][aria-label="${name}"]`);
}

/**
 * Has a page note what is shown for a moment only: reactions by whom, and what is said.
 * @param {Page} page
 */
async function note(page) {
  await page.evaluate(() => {
    const noted = /** @type {string[]} */ ([]);
    Object.assign(globalThis, { noted });
    new MutationObserver((records) => {
      for (const { target, addedNodes } of records) {
        if (target instanceof HTMLElement && target.matches('.news, .toast') && target.textContent) noted.push(target.textContent);
        for (const node of addedNodes) {
          if (node instanceof SVGElement && node.dataset.reaction) noted.push(`${node.closest('tp-tile')?.getAttribute('aria-label')}: ${node.dataset.reaction}`);
        }
      }
    }).observe(document.body, { childList: true, subtree: true });
  });
}

/** Waits until something was noted. @param {Page} page @param {string} text */
async function noted(page, text) {
  await until(`"${text}"`, () => page.evaluate((text) => /** @type {any} */ (globalThis).noted.some((/** @type {string} */ each) => each.includes(text)), text));
}

/** Takes the focus from wherever it is, as a press on nothing does. @param {Page} page */
async function blur(page) {
  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement)?.blur());
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {(what: string) => void} step
 */
export async function controls(stage, plan, step) {
  const [ann, ben, cid, dan] = await homes(stage, plan, 'ann', 'ben', 'cid', 'dan');
  const id = await ann.create();
  await ben.join(id);
  await new Room(ann.page).others(1);
  await cid.join(id);
  await Promise.all([ann, ben, cid].map(({ page }) => new Room(page).others(2)));
  await cid.page.getByTestId('camera').click();
  await Promise.all([ann, ben, cid].map(({ page }) => note(page)));
  await keys(ann.page);
  step('keys do what buttons do, and nothing while somebody writes');
  await talking(ann.page, ben.page);
  step('the space bar ends the muting while it is held');
  await keysDialog(ann.page);
  step('? lists the keys, and turns them off');
  await hands([ann.page, ben.page, cid.page]);
  await dan.join(id);
  await tile(dan.page, 'ben').locator('.hand').filter({ hasText: '1' }).waitFor();
  await tile(dan.page, 'cid').locator('.hand').filter({ hasText: '2' }).waitFor();
  await dan.page.getByTestId('hangup').click();
  step('hands are up in the order of raising, also for dan, who came later');
  await reactions(ann.page, ben.page);
  step('a reaction floats over the tile once, and is read out');
  await hosting(ann.page, ben.page, cid.page);
  step('the host lowers a hand, asks for silence, and locks the room from the menu');
  await fullScreen(ann.page);
  step('full screen keeps the controls, and ends from the menu');
  const how = await smallWindow(ann.page);
  step(`a small window shows who speaks: ${how}`);
  await leaving(ann.page);
  step('the key that leaves wants to be pressed twice');
  return { how };
}

/** @param {Page} page */
async function keys(page) {
  await blur(page);
  await page.keyboard.press('m');
  await says(page, 'mute', 'Unmute');
  await page.keyboard.press('Control+m');
  await page.getByTestId('chat-input').fill('');
  await page.getByTestId('chat-input').pressSequentially('mmm vl?');
  expect(await page.getByTestId('chat-input').inputValue(), 'mmm vl?', 'what was written');
  await says(page, 'mute', 'Unmute');
  await says(page, 'camera', 'Stop camera');
  await page.getByTestId('chat-input').fill('');
  await blur(page);
  await page.keyboard.press('V');
  await says(page, 'camera', 'Start camera');
  await page.keyboard.press('v');
  await says(page, 'camera', 'Stop camera');
  await page.keyboard.press('c');
  await page.getByTestId('chat-log').waitFor({ state: 'hidden' });
  await page.keyboard.press('c');
  await until('the field to have the focus', () => page.evaluate(() => document.activeElement?.getAttribute('data-testid') === 'chat-input'));
  await page.keyboard.press('Escape');
  await page.getByTestId('chat-log').waitFor({ state: 'hidden' });
  await page.keyboard.press('i');
  await page.getByTestId('invite').waitFor();
  await page.keyboard.press('m');
  await page.keyboard.press('Escape');
  await page.getByTestId('invite').waitFor({ state: 'hidden' });
  await says(page, 'mute', 'Unmute');
  expect(await page.getByTestId('mute').getAttribute('aria-keyshortcuts'), 'M', 'what a screen reader says of the key');
  // A Russian keyboard.
  await page.evaluate(() => document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '\u044c', code: 'KeyM', bubbles: true })));
  await says(page, 'mute', 'Mute');
}

/** @param {Page} page @param {Page} other */
async function talking(page, other) {
  await page.getByTestId('mute').click();
  await says(page, 'mute', 'Unmute');
  await tile(other, 'ann').and(other.locator('[data-muted]')).waitFor();
  await page.keyboard.down(' '); // The button that was clicked has the focus still.
  await says(page, 'mute', 'Mute');
  await noted(page, 'space bar');
  await tile(other, 'ann').and(other.locator(':not([data-muted])')).waitFor();
  await page.keyboard.up(' ');
  await says(page, 'mute', 'Unmute');
  await tile(other, 'ann').and(other.locator('[data-muted]')).waitFor();
  await page.getByTestId('mute').press('Enter');
  await says(page, 'mute', 'Mute');
}

/** @param {Page} page */
async function keysDialog(page) {
  await blur(page);
  await page.keyboard.press('?');
  const dialog = page.getByTestId('keys-dialog');
  for (const words of ['Mute, or unmute', 'Raise or lower your hand', 'Full screen']) await dialog.locator('li').filter({ hasText: words }).waitFor();
  const listed = await dialog.locator('kbd').allInnerTexts();
  if (new Set(listed).size !== listed.length || listed.length < 10) throw new Error(`the keys are ${listed}`);
  await dialog.getByTestId('keys-wanted').uncheck();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await blur(page);
  await page.keyboard.press('h');
  await page.keyboard.press('m');
  await page.keyboard.press('?');
  expect(await page.getByTestId('mute').getAttribute('aria-keyshortcuts'), null, 'what a screen reader says of a key that is off');
  expect(await dialog.isVisible(), false, 'whether a key that is off opens the dialog');
  await says(page, 'mute', 'Mute');
  await says(page, 'hand', 'Raise hand');
  expect(await page.evaluate(() => localStorage.getItem('turnpike.keys')), 'off', 'what the browser remembers');
  // The menu has it still, by keys that are always there.
  await page.getByTestId('more').focus();
  await page.keyboard.press('Enter');
  await page.locator('.menu:popover-open').waitFor();
  expect(await page.locator('.menu kbd').count(), 0, 'the number of keys in the menu while they are off');
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  await dialog.getByTestId('keys-wanted').check();
  await dialog.getByTestId('keys-close').click();
  expect(await page.evaluate(() => document.activeElement?.getAttribute('data-testid')), 'more', 'what has the focus after the dialog');
}

/** @param {Page[]} pages of ann, ben and cid */
async function hands([a, b, c]) {
  await blur(b);
  await b.keyboard.press('h');
  await says(b, 'hand', 'Lower hand');
  await tile(c, 'ben').getByRole('img', { name: 'Hand raised, 1 in the order' }).waitFor();
  await tile(a, 'ben').locator('.hand').waitFor();
  await noted(a, 'ben\u2069 has raised');
  await c.getByTestId('hand').click();
  for (const page of [a, b, c]) {
    const places = page.locator('[data-testid=tile] .hand .place');
    await until('two hands', async () => (await places.count()) === 2);
  }
  await tile(a, 'cid').locator('.hand').filter({ hasText: '2' }).waitFor();
  await tile(b, 'cid').locator('.hand').filter({ hasText: '2' }).waitFor();
  await c.locator('[data-testid=tile][data-local] .hand').filter({ hasText: '2' }).waitFor();
}

/** @param {Page} page @param {Page} other */
async function reactions(page, other) {
  await blur(page);
  await page.keyboard.press('r');
  await page.getByTestId('reactions').waitFor();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await Promise.all([noted(other, 'ann: clap'), noted(page, 'You: clap'), noted(other, 'ann\u2069: applause')]);
  await page.getByTestId('reactions').waitFor({ state: 'hidden' });
  await page.getByTestId('react').click();
  await page.getByTestId('react').click(); // The second press closes it.
  await page.getByTestId('reactions').waitFor({ state: 'hidden' });
  await page.getByTestId('react').click();
  await page.getByTestId('react-heart').click();
  await noted(other, 'ann: heart');
  await until('the reactions to be over', async () => (await other.locator('.reaction').count()) === 0);
}

/** @param {Page} a the host's @param {Page} b @param {Page} c */
async function hosting(a, b, c) {
  const menu = async (/** @type {string} */ testid) => {
    await tile(a, 'ben').getByTestId('person-menu').click();
    await tile(a, 'ben').getByTestId(testid).click();
  };
  await menu('lower-hand');
  await says(b, 'hand', 'Raise hand');
  await noted(b, 'The host has lowered');
  await tile(c, 'ben').locator('.hand').waitFor({ state: 'detached' });
  await c.locator('[data-local] .hand').filter({ hasText: '1' }).waitFor();
  await menu('ask-to-mute');
  const notice = b.locator('[data-testid=notice][data-code=mute-asked]');
  await notice.filter({ hasText: 'ann' }).waitFor();
  await says(b, 'mute', 'Mute');
  await notice.getByTestId('mute-now').click();
  await says(b, 'mute', 'Unmute');
  const guests = tile(c, 'ann').getByTestId('person-menu');
  if (await guests.isVisible()) await guests.click();
  for (const testid of ['ask-to-mute', 'lower-hand', 'remove-person']) expect(await c.getByTestId(testid).count(), 0, `the number of "${testid}" for a guest`);
  await c.keyboard.press('Escape');
  await a.getByTestId('more').click();
  await a.getByTestId('menu-lock').click();
  await c.locator('.locked-sign').filter({ hasText: 'Locked' }).waitFor();
  await c.getByTestId('more').click();
  expect(await c.getByTestId('menu-lock').count(), 0, 'the number of locks in the menu of a guest');
  await c.keyboard.press('Escape');
}

/** @param {Page} page */
async function fullScreen(page) {
  await blur(page);
  await page.keyboard.press('f');
  await until('full screen', () => page.evaluate(() => document.fullscreenElement === document.documentElement));
  await page.locator('.bar').waitFor({ state: 'hidden' });
  await page.getByTestId('hangup').waitFor();
  await page.getByTestId('more').click();
  await page.getByTestId('fullscreen').filter({ hasText: 'Leave full screen' }).waitFor();
  await page.getByTestId('fullscreen').click();
  await until('the window as it was', () => page.evaluate(() => document.fullscreenElement === null));
  await page.locator('.bar').waitFor();
}

/** @param {Page} page */
async function smallWindow(page) {
  if (!await page.evaluate(() => 'documentPictureInPicture' in globalThis)) {
    await page.keyboard.press('p');
    await until('a small picture', () => page.evaluate(() => document.pictureInPictureElement !== null));
    await page.keyboard.press('p');
    await until('the end of the small picture', () => page.evaluate(() => document.pictureInPictureElement === null));
    return 'a picture';
  }
  const opening = page.context().waitForEvent('page');
  await page.keyboard.press('p');
  const small = await opening;
  await small.getByTestId('pip-mute').waitFor();
  const shown = await small.locator('.who').innerText();
  if (!['ben', 'cid'].includes(shown)) throw new Error(`the small window shows ${shown}`);
  const at = await small.getByTestId('pip-hangup').boundingBox();
  if (!at || at.width < 44 || at.height < 44) throw new Error(`its button has no style sheet: ${JSON.stringify(at)}`);
  if (shown === 'ben') await until('a picture in it', () => small.locator('video').evaluate((video) => /** @type {HTMLVideoElement} */ (video).videoWidth > 0));
  await small.getByTestId('pip-mute').click();
  await says(page, 'mute', 'Unmute');
  await small.getByRole('button', { name: 'Unmute' }).click();
  await says(page, 'mute', 'Mute');
  await page.getByTestId('more').click();
  await page.getByTestId('pip').click();
  await until('the small window to be closed', async () => small.isClosed());
  return `a window with ${shown}`;
}

/** @param {Page} page */
async function leaving(page) {
  await blur(page);
  await page.keyboard.press('l');
  await noted(page, 'once more');
  await page.getByTestId('hangup').waitFor();
  await page.keyboard.press('l');
  await page.getByTestId('create-room').waitFor();
}
