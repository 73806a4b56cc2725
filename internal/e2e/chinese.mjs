// @ts-check
// The pages in Chinese, and how a language is chosen.

import { until } from './browser.mjs';
import { Home, Room, enter, online } from './pages.mjs';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/** What stands in Latin letters in Chinese, too. */
const NAMES = /\b(?:turnpike|English|WebRTC|https|zip|UDP|TCP|TLS|QR|Ctrl|Shift|Esc|Enter|Space|kB|MB|ms|[a-z0-9]{3}-[a-z0-9]{3}-[a-z0-9]{3}|\d+-[a-z]+-[a-z]+)\b|https?:\/\/\S+|--\w+|fake_\w+|Fake \w+ \w+/g;

/**
 * What people see or hear on a page in Latin letters, although it should be in Chinese.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
async function latin(page) {
  const texts = await page.evaluate(() => {
    const seen = [document.title];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node instanceof Element ? node : node.parentElement;
      if (!element?.checkVisibility() || element.closest('template, script, style, noscript, [lang=en]')) continue;
      if (node instanceof Element) seen.push(...['aria-label', 'placeholder', 'title', 'alt'].map((name) => node.getAttribute(name) ?? ''));
      else seen.push(node.textContent ?? '');
    }
    return seen;
  });
  return texts.filter((text) => /[A-Za-z]{2,}/.test(text.replace(NAMES, '')));
}

/**
 * @param {Page} page
 * @param {string} where
 * @param {Step} step
 */
async function isChinese(page, where, step) {
  const tag = await page.evaluate(() => document.documentElement.lang);
  const found = await latin(page);
  if (tag !== 'zh-Hans' || found.length > 0) throw new Error(`${where}: lang is ${tag}, and in Latin letters: ${JSON.stringify(found)}`);
  step(`${where} is in Chinese`);
}

/**
 * Opens the home page in Chinese, under a name.
 * @param {Stage} stage
 * @param {import('playwright-core').Browser} browser
 * @param {Plan} plan
 * @param {string} name
 */
async function chineseHome(stage, browser, plan, name) {
  const home = new Home(await stage.page(browser, name, { locale: 'zh-CN' }));
  await home.page.goto(plan.url);
  await online(home.page);
  const madeUp = await home.page.getByTestId('name').inputValue();
  if (!/^\p{Script=Han}{4,}$/u.test(madeUp)) throw new Error(`the name that the page made up is ${madeUp}`);
  await home.rename(name);
  return home;
}

/**
 * Everything that people do in a call, in Chinese: a room, the way in, a chat, links, a refusal, files.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function chinese(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const ming = await chineseHome(stage, browser, plan, '小明');
  await isChinese(ming.page, 'the home page', step);
  const hong = await chineseHome(stage, browser, plan, '小红');
  await ming.row('小红').waitFor();
  await isChinese(ming.page, 'the list of people', step);

  await ming.page.locator('[name=size]').selectOption('2');
  await ming.page.getByTestId('create-room').click();
  await ming.page.getByTestId('lobby-join').waitFor();
  await isChinese(ming.page, 'the lobby', step);
  await enter(ming.page);
  const [m, h] = [new Room(ming.page), new Room(hong.page)];
  const id = await m.id();
  await isChinese(ming.page, 'a room with one person', step);
  await hong.join(id);
  await Promise.all([m.others(1), h.others(1)]);
  await m.say('你好，小红！');
  const sender = await h.hear('你好，小红！');
  if (!sender.includes('小明')) throw new Error(`the message is of ${sender}`);
  await isChinese(hong.page, 'a room with a chat', step);
  await ming.page.locator('tp-path button').first().click();
  await isChinese(ming.page, 'the words about a path', step);
  await ming.page.keyboard.press('Escape');
  await ming.page.getByTestId('more').click();
  await isChinese(ming.page, 'the menu of the controls', step);
  await ming.page.keyboard.press('Escape');
  await ming.page.getByTestId('person-menu').first().click();
  await isChinese(ming.page, 'the menu of a person', step);
  await ming.page.keyboard.press('Escape');
  await ming.page.getByTestId('react').click();
  await ming.page.getByTestId('reactions').waitFor();
  await isChinese(ming.page, 'the reactions', step);
  await ming.page.keyboard.press('Escape');
  await ming.page.keyboard.press('?');
  await ming.page.getByTestId('keys-dialog').waitFor();
  await isChinese(ming.page, 'the list of keys', step);
  await ming.page.getByTestId('keys-close').click();
  await ming.page.getByTestId('invite-people').click();
  await ming.page.locator('.invite summary').click();
  await isChinese(ming.page, 'the dialog for links', step);
  await ming.page.getByTestId('invite-close').click();

  const third = await chineseHome(stage, browser, plan, '小刚');
  await third.join(id);
  const refusal = await third.notice('full');
  if (!refusal.includes('房间已满')) throw new Error(`the refusal says: ${refusal}`);
  await isChinese(third.page, 'a refusal', step);
  await third.page.goto(`${plan.url}/c/`);
  await third.page.getByTestId('choose-files').waitFor();
  await isChinese(third.page, 'the page for files', step);
  await third.page.goto(`${plan.url}/nowhere`);
  await isChinese(third.page, 'the page for wrong addresses', step);
  return { id };
}

/**
 * The language is the browser's, unless the user chooses another. If the Chinese words do not load, the page is in English. They
 * are all named by the page itself, so that they come with its modules.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function languages(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const page = await stage.page(browser, 'ming', { locale: 'zh-CN' });
  await page.goto(plan.url);
  await online(page);
  await isChinese(page, 'the home page', step);
  const unnamed = await page.evaluate(() => {
    const named = new Set([...document.querySelectorAll('link[rel=modulepreload], script[src]')].map((link) => link instanceof HTMLLinkElement ? link.href : /** @type {HTMLScriptElement} */ (link).src));
    return performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.endsWith('.js') && !named.has(name));
  });
  if (unnamed.length > 0) throw new Error(`the page asks later for ${unnamed}`);
  step('the words come with the modules');

  const session = await page.getByTestId('name').inputValue();
  await page.getByTestId('language').click();
  await page.locator('h1').filter({ hasText: 'Straight to each other.' }).waitFor();
  await online(page);
  const english = await page.evaluate(() => [document.documentElement.lang, document.querySelector('.skip')?.textContent, document.querySelector('[data-testid=language]')?.textContent]);
  if (english.join() !== 'en,Skip to content,中文') throw new Error(`after the choice: ${english}`);
  if ((await page.getByTestId('name').inputValue()) !== session) throw new Error('the choice of a language has changed the name');
  await page.goto(`${plan.url}/c/`);
  await page.locator('h1').filter({ hasText: 'Straight into their hands.' }).waitFor();
  step('the choice holds on the other page, too');
  await page.goto(plan.url);
  await page.getByTestId('language').click();
  await until('Chinese again', async () => (await page.evaluate(() => document.documentElement.lang)) === 'zh-Hans');
  await isChinese(page, 'the home page after the choice of Chinese', step);

  const french = await stage.page(browser, 'marie', { locale: 'fr-FR' });
  await french.goto(plan.url);
  await french.locator('h1').filter({ hasText: 'Straight to each other.' }).waitFor();
  if ((await french.evaluate(() => document.documentElement.lang)) !== 'en') throw new Error('a language that is not there is not English');
  step('others read English');

  const cut = await stage.page(browser, 'cut', { locale: 'zh-CN' });
  await cut.route(/\/chunks\/page-[^/]*\.js$/, (route) => route.abort());
  await cut.goto(plan.url);
  await cut.locator('h1').filter({ hasText: 'Straight to each other.' }).waitFor();
  const fallback = await cut.evaluate(() => document.documentElement.lang);
  if (fallback !== 'en') throw new Error(`without its words, the page says that it is in ${fallback}`);
  step('without its words, the page is in English');
  return { session };
}
