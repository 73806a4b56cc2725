// @ts-check
// The lobby, and the pages in Chinese, in each state.

import { cameras, hold } from './faces.mjs';
import { Home, Room, enter, online } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {import('playwright-core').Browser} Browser
 * @typedef {{ url: string, invite: string }} Plan
 * @typedef {{ at: (state: string, page: Page) => Promise<void> }} Looks
 */

/** Waits for our own picture in the lobby. @param {Page} page */
async function preview(page) {
  await page.locator('tp-lobby[data-video]').waitFor();
  await page.waitForFunction(() => /** @type {HTMLVideoElement | null} */ (document.querySelector('tp-lobby video'))?.videoWidth);
}

/**
 * @param {Looks} looks
 * @param {Stage} stage
 * @param {Browser} browser
 * @param {Plan} plan
 */
export async function lobby(looks, stage, browser, plan) {
  const page = await stage.page(browser, 'lobby');
  await hold(page, cameras.laptop);
  await page.goto(`${plan.url}/r/k7m-2pq-x9r`);
  await online(page);
  await preview(page);
  await looks.at('lobby', page);
  await page.getByTestId('lobby-camera').click();
  await page.getByTestId('lobby-mute').click();
  await page.locator('tp-lobby:not([data-video])').waitFor();
  await looks.at('lobby-off', page);
  await page.context().close();
  const shy = await stage.page(browser, 'shy', { camera: false });
  await shy.goto(`${plan.url}/r/k7m-2pq-x9r`);
  await online(shy);
  await shy.getByTestId('trouble').filter({ hasText: 'blocked by the browser' }).waitFor();
  await looks.at('lobby-refused', shy);
  await enter(shy);
  await new Room(shy).id();
  await looks.at('camera-refused', shy);
  await shy.context().close();
}

/**
 * Two people whose browsers prefer Chinese.
 * @param {Looks} looks
 * @param {Stage} stage
 * @param {Browser} browser
 * @param {Plan} plan
 */
export async function chinese(looks, stage, browser, plan) {
  const [li, wang] = await Promise.all([['\u674e\u96f7', cameras.laptop], ['\u97e9\u6885\u6885', cameras.phone]].map(async ([name, camera]) => {
    const page = await stage.page(browser, String(name), { locale: 'zh-CN' });
    await hold(page, /** @type {import('./faces.mjs').Camera} */ (camera));
    const home = new Home(page);
    await home.open(plan.url, String(name));
    return home;
  }));
  await li.row('\u97e9').waitFor();
  await looks.at('chinese-home', li.page);
  const id = await li.create({ size: 4 });
  await wang.page.getByTestId('room-id').fill(id);
  await wang.page.getByTestId('join-room').click();
  await preview(wang.page);
  await looks.at('chinese-lobby', wang.page);
  await enter(wang.page);
  const [a, b] = [li, wang].map(({ page }) => new Room(page));
  await Promise.all([a.others(1), b.others(1)]);
  await a.say('\u4f60\u597d\uff01\u4eca\u5929\u5f00\u4f1a\u7684\u65f6\u95f4\u6539\u5230\u4e0b\u5348\u4e09\u70b9\uff0c\u5927\u5bb6\u90fd\u6536\u5230\u901a\u77e5\u4e86\u5417\uff1f');
  await b.hear('\u4f60\u597d');
  await b.say('\u6536\u5230\u4e86');
  await a.hear('\u6536\u5230\u4e86');
  await looks.at('chinese-room', a.page);
  await wang.page.getByTestId('hangup').click();
  await wang.page.getByTestId('create-room').waitFor();
  await wang.join('attic');
  await wang.notice('not-existing');
  await looks.at('chinese-refusal', wang.page);
  await Promise.all([li, wang].map(({ page }) => page.context().close()));
}
