// @ts-check
// The chat of a room: what is unread, what has become of messages, and what people write.

import { until } from './browser.mjs';
import { Room, homes, lookAway, online, visit } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {(what: string) => void} Step
 * @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan
 */

/** @param {unknown} is @param {unknown} want @param {string} what */
function expect(is, want, what) {
  if (JSON.stringify(is) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(is)}, and not ${JSON.stringify(want)}`);
}

/** What the newest message of a page's own has below it. @param {Page} page */
function fate(page) {
  return page.locator('.message[data-own] .fate').last();
}

/** @param {Page} page @param {string | RegExp} words */
async function fated(page, words) {
  await fate(page).getByTestId('chat-state').filter({ hasText: words }).waitFor();
}

/**
 * Has a page acknowledge no chat, as long as `silent` is true in it.
 * @param {Page} page
 */
function silence(page) {
  return page.evaluate(() => {
    const state = /** @type {{ silent?: boolean }} */ (globalThis);
    state.silent = true;
    const { send } = RTCDataChannel.prototype;
    RTCDataChannel.prototype.send = function (/** @type {any} */ data) {
      if (!state.silent || !String(data).includes('chat-ack')) send.call(this, data);
    };
  });
}

/**
 * Unread messages are counted, also in the title, and have a line before them. States of messages come from the other pages.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function unread(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const id = await ann.create();
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  const title = (/** @type {string} */ start) => until(`the title ${start}`, async () => (await ann.page.title()) === `${start}${id} · turnpike`);
  const draft = ann.page.getByTestId('chat-input');
  await draft.fill('before anybody is here');
  await draft.press('Enter');
  expect(await draft.inputValue(), 'before anybody is here', 'what nobody could read is still in the field');
  await ann.page.reload();
  await online(ann.page);
  await until('the draft of before the reload', async () => (await draft.inputValue()) === 'before anybody is here');
  await ben.join(id);
  await Promise.all([a.others(1), b.others(1)]);
  await draft.press('Enter');
  await b.hear('before anybody is here');
  await fated(ann.page, /^Seen$/);
  step('a draft waits in its field until somebody is here, also over a reload');

  await ann.page.getByTestId('chat-close').click();
  await title('');
  await b.say('one');
  await b.say('two');
  await title('(2) ');
  await ann.page.locator('.unread').filter({ hasText: '2' }).waitFor();
  await fated(ben.page, /^Delivered$/);
  await ann.page.reload();
  await online(ann.page);
  await a.others(1);
  await ann.page.getByTestId('chat-close').click();
  step('closed chat: two unread in the title, and ben knows that they are delivered, but not seen');
  await b.say('three');
  await title('(1) ');
  await ann.page.getByTestId('chat-toggle').click();
  await title('');
  const order = await ann.page.locator('[data-testid=chat-log] > :not([hidden])').evaluateAll((items) => items.slice(-2).map((item) => item.querySelector('.text')?.textContent ?? item.textContent));
  expect(order, ['New', 'three'], 'the line before what was unread');
  await fated(ben.page, /^Seen$/);
  step('opened: read, with a line before the first unread message, and ben knows that it was seen');

  await lookAway(ann.page, true);
  await b.say('four');
  await title('(1) ');
  await fated(ben.page, /^Delivered$/);
  await lookAway(ann.page, false);
  await title('');
  await fated(ben.page, /^Seen$/);
  step('an open chat on a page that is hidden has seen nothing');

  for (let i = 0; i < 30; i++) await b.say(`line ${i}`);
  await a.hear('line 29');
  await ann.page.getByTestId('chat-log').evaluate((log) => log.scrollTo(0, 0));
  await ann.page.getByTestId('chat-jump').waitFor();
  await b.say('far below');
  await ann.page.getByTestId('chat-jump').filter({ hasText: 'One new message' }).waitFor();
  await title('(1) ');
  await fated(ben.page, /^Delivered$/);
  await ann.page.getByTestId('chat-jump').click();
  await fated(ben.page, /^Seen$/);
  await title('');
  step('what is written below a log that was scrolled up is unread, until it comes into sight');
  await ann.page.getByTestId('chat-input').press('Escape');
  await ann.page.getByTestId('chat-log').waitFor({ state: 'hidden' });
  expect(await ann.page.evaluate(() => document.activeElement?.getAttribute('data-testid')), 'chat-toggle', 'what has the focus after Escape');
  return {};
}

/**
 * Three people: delivered to some, seen by some, with names on request; not delivered, and sent again. All of it outlives a reload.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function fates(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  const id = await ann.create();
  await ben.join(id);
  await silence(cid.page);
  await cid.join(id);
  const rooms = [ann, ben, cid].map(({ page }) => new Room(page));
  const [a, b, c] = rooms;
  await Promise.all(rooms.map((room) => room.others(2)));
  await cid.page.getByTestId('chat-close').click();
  await a.say('to both');
  await b.hear('to both');
  await fated(ann.page, 'Delivered to 1 of 2');
  await fate(ann.page).getByTestId('chat-state').click();
  const names = fate(ann.page).locator('.popup');
  await names.filter({ hasText: /ben.*: seen/ }).filter({ hasText: /cid.*: on its way/ }).waitFor();
  await ann.page.keyboard.press('Escape');
  await names.waitFor({ state: 'hidden' });
  if (!(await ann.page.getByTestId('chat-log').isVisible())) throw new Error('Escape closed the chat behind the names');
  step('ben has seen it, cid has not acknowledged it, and the names say so');
  await cid.page.getByTestId('hangup').click();
  await fated(ann.page, /Not delivered to .*cid/);
  if (await ann.page.getByTestId('chat-again').isVisible()) throw new Error('it could be sent again to somebody who is not here');
  await until('a screen reader to learn of it', async () => /Not delivered to/.test(await ann.page.locator('.chat-news').innerText()));
  await ann.page.reload();
  await online(ann.page);
  await fated(ann.page, /Not delivered to .*cid/);
  step('cid left: not delivered, also after a reload');
  await cid.page.evaluate(() => Object.assign(globalThis, { silent: false }));
  await cid.join(id);
  await Promise.all([a.others(2), c.others(2)]);
  await fate(ann.page).getByTestId('chat-again').click();
  await c.hear('to both');
  expect(await b.heard('to both'), 1, 'how often ben has what was sent again to cid alone');
  await fated(ann.page, /Seen by (1 of 2|all)/);
  step('sent again, to cid alone');
  await a.say('the next');
  await Promise.all([b.hear('the next'), c.hear('the next')]);
  const states = await ann.page.locator('.message[data-own] .fate').allInnerTexts();
  expect(states.filter((text) => text.trim()).length, 1, 'the number of states below messages that all have');
  return { states };
}

/**
 * What people write: several lines, a composition, addresses, and more than goes into a message.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function writing(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  await ben.join(await ann.create());
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  await Promise.all([a.others(1), b.others(1)]);
  const input = ann.page.getByTestId('chat-input');
  await input.focus();
  await ann.page.keyboard.type('one');
  await ann.page.keyboard.press('Shift+Enter');
  await ann.page.keyboard.type('two');
  await input.evaluate((field) => {
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }));
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }));
  });
  expect(await input.inputValue(), 'one\ntwo', 'what is in the field while something is composed');
  await ann.page.keyboard.press('Enter');
  await b.hear('two');
  expect(await ben.page.locator('.message .text').last().evaluate((text) => text.textContent), 'one\ntwo', 'a message of two lines');
  step('Shift and Enter begin a line, Enter sends, and ends a composition alone');

  await a.say('look: https://b\u00e4nk.ex\u0430mple/a_(b), javascript:alert(1) http://user@evil.example <b>bold</b>');
  await b.hear('look');
  const last = ben.page.locator('.message .text').last();
  const links = await last.locator('a').evaluateAll((all) => all.map((link) => {
    const { href, target, rel, textContent } = /** @type {HTMLAnchorElement} */ (link);
    return { href, target, rel, textContent };
  }));
  const [{ href }] = links;
  expect(links, [{ href, target: '_blank', rel: 'noopener noreferrer', textContent: href }], 'the links');
  if (!href.startsWith('https://xn--')) throw new Error(`the host is shown as ${href}`);
  expect(await last.locator('b').count(), 0, 'the number of elements that a message made');
  step('only an address is a link, and shows its true host');

  const time = await ben.page.locator('.message .line').evaluateAll((lines) => lines.map((line) => line.classList.contains('sr-only')));
  if (time[0]) throw new Error('the first message has no name');
  await input.fill('x'.repeat(4005));
  await ann.page.locator('#chat-error').filter({ hasText: '5 characters too many' }).waitFor();
  expect(await ann.page.getByTestId('chat-send').isDisabled(), true, 'whether Send is disabled');
  await input.press('Enter');
  await input.fill('x'.repeat(4000));
  await input.press('Enter');
  await until('a long message in one piece', async () => (await ben.page.locator('.message .text').last().evaluate((text) => text.textContent))?.length === 4000);
  const wide = await ben.page.getByTestId('chat-log').evaluate((log) => log.scrollWidth - log.clientWidth);
  expect(wide, 0, 'by how many pixels a long word sticks out');
  step('a text that is too long stays in the field, and says by how much');
  await a.say('\u{1f389}');
  await ben.page.locator('.message[data-emoji]').waitFor();
  return { links };
}

/**
 * The network of one of three people is cut for longer than the server waits: what was written before and meanwhile arrives, once and in order.
 * @param {Stage} stage
 * @param {{ people: (import('./browser.mjs').Place & { name: string, url: string })[] }} plan
 * @param {Step} step
 * @param {(name: string) => Promise<unknown>} cue
 */
export async function cutoff(stage, plan, step, cue) {
  const rooms = await Promise.all(plan.people.map(async ({ name, url, ...place }) => {
    const page = await stage.page(await stage.browser(place), name);
    await visit(page, url);
    return new Room(page);
  }));
  const [a, b, c] = rooms;
  await Promise.all(rooms.map((room) => room.others(2)));
  await a.say('before');
  await Promise.all([b.hear('before'), c.hear('before')]);
  await cue('cut');
  await a.say('just after');
  await fated(a.page, /^Delivered to 1 of 2|^Waits for/);
  await b.say('from the one without a network');
  await Promise.all([a.others(1), c.others(1)]);
  step('ben has lost the network, and his place');
  await a.say('while he is away');
  await c.say('cid too');
  await c.hear('while he is away');
  await fated(a.page, /^Waits for/);
  await cue('mend');
  await Promise.all(rooms.map((room) => room.others(2)));
  await Promise.all([b.hear('while he is away'), b.hear('cid too'), a.hear('from the one without a network'), c.hear('from the one without a network')]);
  step('ben is back');
  await fated(a.page, /^Seen by/);
  await a.say('the last');
  await Promise.all([b.hear('the last'), c.hear('the last')]);
  const heard = await b.page.locator('.message:not([data-own]) .text').allInnerTexts();
  expect(heard.filter((text) => text !== 'cid too'), ['before', 'just after', 'while he is away', 'the last'], 'what ben has of ann');
  expect(heard.filter((text) => text === 'cid too').length, 1, 'how often ben has what cid wrote');
  for (const room of [a, c]) expect(await room.heard('from the one without a network'), 1, 'how often they have what ben wrote without a network');
  return { heard };
}
