// @ts-check
// An app of another origin that knows of the SDK what the documents say.

import { readFile } from 'node:fs/promises';
import { WebSocket } from 'ws';
import { connect, getTicket } from '../../web/static/sdk/turnpike.js';
import { appPage, bundled, seesAndHears } from './apppage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {import('./apppage.mjs').Plan} Plan */

/** The first block of JavaScript in README, for another server than the one that it names. @param {string} url */
async function quickStart(url) {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const block = /^```js\n([^]*?)^```/m.exec(readme)?.[1];
  if (!block?.includes('https://turn.example.org/')) throw new Error('README has no block of JavaScript that names https://turn.example.org/');
  return block.replaceAll('https://turn.example.org/', `${url}/`);
}

/**
 * README's quick start, pasted into the page of an app: two people see and hear each other.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function quickstart(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const module = await quickStart(plan.url);
  const first = await appPage(stage, browser, plan, 'first', module);
  const second = await appPage(stage, browser, plan, 'second', module);
  await Promise.all([first, second].map(seesAndHears));
  step('both see and hear each other');
  await second.close();
  await first.waitForFunction(() => !document.querySelector('video'));
  step('the first one sees that the second is gone');
  return {};
}

/**
 * A developer who has forgotten something is told what it is: the origin in the server's configuration, the server, or the
 * scheme of its address.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function mistakes(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const module = await bundled(`
    import { connect, getTicket } from './sdk/turnpike.js';
    const urls = { origin: '${plan.url}', server: 'http://localhost:1', scheme: 'localhost:8080' };
    const told = await Promise.all(Object.entries(urls).map(async ([name, url]) => {
      const error = await connect({ url, getTicket, timeout: 10 }).then(() => undefined, (error) => error);
      return [name, error && { code: error.code, hint: error.hint, message: error.message }];
    }));
    globalThis.told = Object.fromEntries(told);
  `);
  const unlisted = 'http://localhost:9001';
  const page = await appPage(stage, browser, { ...plan, app: unlisted }, 'developer', module);
  await page.waitForFunction(() => 'told' in globalThis);
  const told = await page.evaluate(() => /** @type {any} */ (globalThis).told);
  step(JSON.stringify(told));
  /** @type {[string, string, RegExp][]} */
  const wanted = [['origin', 'timeout', /not to pages of http:\/\/localhost:9001: http\.allowed_origins/], ['server', 'timeout', /Nothing answers at http:\/\/localhost:1\./], ['scheme', 'bad-url', /https:\/\//]];
  for (const [name, code, hint] of wanted) {
    if (told[name]?.code !== code || !hint.test(told[name].hint)) throw new Error(`${name}: ${JSON.stringify(told[name])}`);
  }
  return {};
}

/**
 * A page without storage is loaded again, and finds its seat free.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function seat(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const module = await bundled(`
    import { connect, getTicket } from './sdk/turnpike.js';
    const client = await connect({ url: '${plan.url}', getTicket, storage: null });
    await client.join('pair', { create: true, size: 2, onFull: () => { globalThis.wasFull = true; } });
    globalThis.isIn = true;
  `);
  const pages = [];
  for (const name of ['first', 'second']) {
    const page = await appPage(stage, browser, plan, name, module);
    await page.waitForFunction(() => 'isIn' in globalThis);
    pages.push(page);
  }
  const [, second] = pages;
  await second?.reload();
  await second?.waitForFunction(() => 'isIn' in globalThis);
  if (await second?.evaluate(() => 'wasFull' in globalThis)) throw new Error('the room was full of the page before');
  step('the seat was free');
  return {};
}

/**
 * A bot in Node.js, without any WebRTC, and a person in a browser: each reads what the other says.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function bot(stage, plan, step) {
  const scribe = await connect({ url: plan.url, name: 'Scribe', getTicket, WebSocket: /** @type {any} */ (WebSocket), media: false });
  const room = await scribe.join('standup', { create: true, size: 4 });
  const browser = await stage.browser(plan.place);
  const came = room.once('peer-joined');
  const page = await appPage(stage, browser, plan, 'person', await bundled(`
    import { connect, getTicket } from './sdk/turnpike.js';
    const client = await connect({ url: '${plan.url}', getTicket });
    const room = await client.join('standup');
    globalThis.heard = [];
    room.on('message', ({ peer, text }) => heard.push(peer.name + ' writes ' + text));
    room.on('data', ({ peer, data, topic }) => heard.push(peer.name + ' moves ' + data.to + ' in ' + topic));
    globalThis.room = room;
    globalThis.isIn = true;
  `));
  await page.waitForFunction(() => 'isIn' in globalThis);
  const { peer } = await came;
  step(`${peer.name} is there`);
  const asked = room.once('message');
  await page.evaluate(() => /** @type {any} */ (globalThis).room.sendMessage('Are you there?'));
  const { text } = await asked;
  if (text !== 'Are you there?') throw new Error(`the bot heard: ${text}`);
  room.sendMessage('Always.');
  const { missed } = await room.send({ to: 'e4' }, { topic: 'chess' });
  if (missed.length > 0) throw new Error('the data missed the person');
  await page.waitForFunction(() => /** @type {any} */ (globalThis).heard.length === 2);
  const heard = await page.evaluate(() => /** @type {any} */ (globalThis).heard.join(', '));
  if (heard !== 'Scribe writes Always., Scribe moves e4 in chess') throw new Error(`the person heard: ${heard}`);
  step('both read each other');
  const made = await page.evaluate(() => /** @type {any} */ (globalThis).made.length);
  if (made !== 0) throw new Error(`the browser made ${made} connections to a bot`);
  const left = room.once('peer-left');
  await page.close();
  await left;
  await scribe.close();
  return {};
}
