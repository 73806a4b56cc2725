// @ts-check
// The states of the page for files that go by a code, as look.mjs has those of the other pages.

import { Buffer } from 'node:buffer';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {{ at: (state: string, page: Page) => Promise<void> }} Looks
 */

/** Enough for a transfer to be under way when somebody looks. */
const BIG = 12_000_000;

/** Has a page save into a file whose disk takes no more than a third until `release` is called there. @param {Page} page */
async function stubbornDisk(page) {
  await page.addInitScript((third) => {
    const app = /** @type {any} */ (globalThis);
    const released = new Promise((resolve) => (app.release = resolve));
    const done = async () => {};
    const writable = { write: async (/** @type {any} */ { position }) => void (position >= third && (await released)), truncate: done, close: done, abort: done };
    app.showSaveFilePicker = async () => ({ createWritable: async () => writable });
  }, BIG / 3);
}

/** @param {Page} page @param {string} title */
async function says(page, title) {
  await page.locator('h1').filter({ hasText: title }).waitFor();
}

/** @param {Page} ann @param {string} url */
async function offer(ann, url) {
  await ann.goto(`${url}/c/`);
  await ann.getByTestId('files').setInputFiles([
    { name: 'a film of the holidays with a name that is far too long for a line on a phone.mov', mimeType: 'video/quicktime', buffer: Buffer.alloc(BIG) },
    { name: 'cat.jpg', mimeType: 'image/jpeg', buffer: Buffer.alloc(31_000) },
    { name: '\u0635\u0648\u0631\u0629.png', mimeType: 'image/png', buffer: Buffer.alloc(1) },
  ]);
}

/**
 * @param {Looks} looks
 * @param {Stage} stage
 * @param {import('playwright-core').Browser} browser
 * @param {{ url: string }} plan
 */
export async function filesByCode(looks, stage, browser, { url }) {
  const [ann, ben] = [await stage.page(browser, 'sender'), await stage.page(browser, 'receiver')];
  await ann.addInitScript(() => localStorage.setItem('turnpike.name', 'Ann Example'));
  await ben.addInitScript(() => localStorage.setItem('turnpike.name', 'Ben with quite a long name here'));
  await stubbornDisk(ben);
  await ann.goto(`${url}/c/`);
  await looks.at('files-start', ann);
  await typing(looks, ben, url);
  await offer(ann, url);
  await looks.at('files-chosen', ann);
  await ann.getByTestId('make-code').click();
  const link = await ann.getByTestId('code-link').inputValue();
  await ann.locator('.qr *').first().waitFor();
  await looks.at('files-code', ann);
  await ben.goto(link);
  await ben.getByTestId('accept').waitFor();
  await looks.at('files-offer', ben);
  await ann.locator('.receivers [data-state=asking]').waitFor();
  await looks.at('files-asking', ann);
  await ben.getByTestId('accept').click();
  await ann.locator('.receivers [data-state=receiving]').waitFor();
  await looks.at('files-receiving', ben);
  await looks.at('files-sending', ann);
  await ben.evaluate(() => /** @type {any} */ (globalThis).release());
  await says(ben, 'are here');
  await looks.at('files-received', ben);
  await says(ann, 'They have it');
  await looks.at('files-sent', ann);
  await ben.goto(link);
  await says(ben, 'There is no such code');
  await looks.at('files-no-code', ben);
  await refusals(looks, ann, ben, url);
  await Promise.all([ann.close(), ben.close()]);
}

/**
 * A code that somebody types.
 * @param {Looks} looks
 * @param {Page} page
 * @param {string} url
 */
async function typing(looks, page, url) {
  await page.goto(`${url}/c/7`);
  await page.getByTestId('code').pressSequentially('pr');
  await page.getByTestId('completions').waitFor();
  await looks.at('files-completions', page);
  await page.getByTestId('code').fill('7-crosover-clokwork');
  await page.getByTestId('take-code').click();
  await page.getByTestId('take-meant').waitFor();
  await looks.at('files-meant', page);
  await page.getByTestId('code').fill('crossover');
  await page.getByTestId('take-code').click();
  await looks.at('files-no-number', page);
}

/**
 * @param {Looks} looks
 * @param {Page} ann
 * @param {Page} ben
 * @param {string} url
 */
async function refusals(looks, ann, ben, url) {
  await offer(ann, url);
  await ann.getByTestId('make-code').click();
  const code = await ann.getByTestId('code-text').innerText();
  const words = code.includes('crossover-clockwork') ? 'vagabond-clockwork' : 'crossover-clockwork';
  await ben.goto(`${url}/c/${code.split('-')[0]}#${words}`);
  await says(ben, 'The words do not match');
  await looks.at('files-wrong-words', ben);
  await says(ann, 'Somebody had other words');
  await looks.at('files-guessed', ann);
}
