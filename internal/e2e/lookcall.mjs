// @ts-check
// What people open and do in a call of four, in each state: menus, keys, settings, hands, reactions, shared screens.

import { openSettings } from './pages.mjs';

/**
 * @typedef {import('playwright-core').Page} Page
 * @typedef {{ at: (state: string, page: Page) => Promise<void>, opened: (state: string, page: Page, open: () => Promise<void>) => Promise<void> }} Looks
 */

/**
 * @param {Looks} looks
 * @param {Page[]} people of one room, each of whom sees the others
 */
export async function call(looks, [ann, dan, eve]) {
  await looks.opened('menu', ann, () => ann.getByTestId('more').click());
  await looks.opened('reactions', ann, () => ann.keyboard.press('r'));
  await ann.keyboard.press('?');
  await ann.getByTestId('keys-dialog').waitFor();
  await looks.at('keys', ann);
  await ann.keyboard.press('Escape');
  const settings = await openSettings(ann);
  await settings.waitFor();
  await looks.at('settings', ann);
  await ann.getByTestId('settings-close').click();
  for (const page of [dan, eve]) await page.keyboard.press('h');
  await ann.locator('.hand').nth(1).waitFor();
  await looks.at('hands', ann);
  await dan.keyboard.press('h');
  await eve.keyboard.press('h');
  await ann.locator('.hand').first().waitFor({ state: 'detached' });
  await ann.locator('[data-testid=tile]:not([data-local])').first().dblclick();
  await ann.getByTestId('unpin').first().waitFor();
  await looks.at('pinned', ann);
  await ann.keyboard.press('0');
  await dan.keyboard.press('s');
  await ann.getByTestId('screen').waitFor();
  await ann.waitForFunction(() => /** @type {HTMLVideoElement | null} */ (document.querySelector('tp-screen video'))?.videoWidth);
  await looks.at('screen', ann);
  await looks.at('sharing', dan);
  await dan.keyboard.press('s');
  await ann.getByTestId('screen').waitFor({ state: 'detached' });
}
