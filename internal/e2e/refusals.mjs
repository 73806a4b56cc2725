// @ts-check
// Every refusal has a state of its own: words that a person understands, and what to do next. No text of a program's error is shown.

import { readFile } from 'node:fs/promises';
import { until } from './browser.mjs';
import { gate } from './gate.mjs';
import { Home, online } from './pages.mjs';
import english from '../../web/static/words/en/page.js';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {(what: string) => void} Step
 * @typedef {'en' | 'zh'} Language
 * @typedef {Record<'used' | 'revoked' | 'cut' | 'other', string>} Invites links; other: to the room `other` only
 * @typedef {{ place: import('./browser.mjs').Place, url: string, insecure: string, invites: Invites }} Plan
 *   insecure: the address of the same server without HTTPS and not on localhost
 */

/** What others reach, by the code of the notice: the file whose scenario waits for it. @type {Record<string, string>} */
const ELSEWHERE = {
  'full': 'localhost.mjs',
  'full-for-now': 'lostsignin.mjs',
  'barred': 'lostsignin.mjs',
  'locked': 'localhost.mjs',
  'kicked': 'localhost.mjs',
  'refused': 'localhost.mjs',
  'waiting': 'localhost.mjs',
  'not-existing': 'localhost.mjs',
  'name-taken': 'localhost.mjs',
  'ended': 'invites.mjs',
  'invite-required': 'invites.mjs',
  'bad-room': 'look.mjs',
};

/** What links lead to: see `byLink`. */
const LINKS = ['invite-used', 'invite-revoked', 'unauthorized', 'expired'];

/** What `withoutServer` and `withoutMeans` reach. */
const OTHERS = ['forbidden', 'upgraded', 'not-loaded', 'unsupported'];

/**
 * What a server answers to what people press, and what no test brings about in less than a minute: too many requests, a message
 * that comes when its time is over. Here the answer is made, and what the page makes of it is looked at.
 */
const ANSWERED = [
  'rate-limited', 'internal', 'bad-name', 'forbidden', 'no-such-session', 'not-host', 'not-in-room', 'no-such-user', 'busy', 'no-such-call',
  'too-many-invites', 'slow', 'too-long', 'timeout', 'returned', 'offline',
];

/** A code that this page does not know. */
const LATER = 'a-code-of-a-later-server';

/** Looks like what a program says to programmers. */
const RAW = /raw words|error\b|exception|undefined|\[object|null|NaN|failed to|RTC|WebSocket|ticket|\b[45]\d\d\b|[a-z]+-[a-z]+-[a-z]+/i;

/**
 * Checks what a page says, and that there is something to press.
 * @param {Page} page
 * @param {string} code
 * @param {Language} language
 */
async function says(page, code, language = 'en') {
  const text = await new Home(page).notice(code);
  judge(`the refusal ${code}`, text, language);
  const buttons = page.getByTestId('notice').locator('button:visible:enabled');
  if ((await buttons.count()) === 0) throw new Error(`${code} leaves nothing to do: ${text}`);
  return text;
}

/** @param {string} what @param {string} text @param {Language} language */
function judge(what, text, language) {
  if (text.trim().length < (language === 'zh' ? 5 : 12)) throw new Error(`${what} says hardly anything: "${text}"`);
  if (RAW.test(text)) throw new Error(`${what} speaks to programmers: "${text}"`);
  const isChinese = /[\u4e00-\u9fff]/.test(text) && !/[a-z]{3,} [a-z]{2,} [a-z]/i.test(text);
  if (isChinese !== (language === 'zh')) throw new Error(`${what} is not in the language ${language}: "${text}"`);
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function refusals(stage, plan, step) {
  for (const [code, file] of Object.entries(ELSEWHERE)) {
    const text = await readFile(new URL(file, import.meta.url), 'utf8');
    if (!text.includes(`notice('${code}')`)) throw new Error(`${file} does not reach ${code}`);
  }
  const reached = new Set([...Object.keys(ELSEWHERE), ...LINKS, ...ANSWERED, ...OTHERS]);
  const unreached = Object.keys(english).flatMap((key) => /^error\.(.*)\.title$/.exec(key)?.[1] ?? []).filter((code) => !reached.has(code));
  if (unreached.length > 0) throw new Error(`no test reaches ${unreached}`);
  const browser = await stage.browser(plan.place);
  /** @param {string} name @param {Language} [language] */
  const page = async (name, language = 'en') => {
    const context = await browser.newContext({ permissions: ['camera', 'microphone'], locale: language === 'zh' ? 'zh-CN' : 'en-GB' });
    const page = await context.newPage();
    stage.follow(page, name);
    return page;
  };
  await byLink(page, plan, step);
  await answered(page, plan, step);
  await withoutDevices(page, plan, step);
  await withoutServer(page, plan, step);
  await withoutMeans(page, plan, step);
  return {};
}

/** @typedef {(name: string, language?: Language) => Promise<Page>} Open */

/**
 * Links that lead nowhere.
 * @param {Open} open
 * @param {Plan} plan
 * @param {Step} step
 */
async function byLink(open, { invites }, step) {
  /** @type {[string, Language][]} */
  const links = [[invites.used, 'zh'], [invites.revoked, 'en'], [invites.cut, 'en'], [invites.revoked, 'zh']];
  const first = await open('first');
  await first.goto(invites.used);
  await online(first);
  await first.context().close();
  for (const [place, [link, language]] of links.entries()) {
    const code = LINKS[place] ?? '';
    const page = await open(code, language);
    // A server takes clocks for wrong by up to a minute, so that none is over sooner.
    if (code === 'expired') await page.route('**/api/v1/tickets', (route) => route.fulfill({ status: 401, json: { error: { code, message: 'raw words' } } }));
    await page.goto(link);
    step(`${code}: ${await says(page, code, language)}`);
    await page.context().close();
  }
}

/**
 * Answers of the server, in both languages.
 * @param {Open} open
 * @param {Plan} plan
 * @param {Step} step
 */
async function answered(open, { url }, step) {
  for (const language of /** @type {Language[]} */ (['en', 'zh'])) {
    const page = await open(`answered ${language}`, language);
    let code = '';
    await page.routeWebSocket(/\/signal$/, (socket) => {
      const server = socket.connectToServer();
      socket.onMessage((text) => {
        const { type, id } = JSON.parse(String(text));
        if (type !== 'rename' || !code) return server.send(text);
        socket.send(JSON.stringify({ type: 'error', ref: id, code: code === 'bad-name' ? 'bad-message' : code, message: 'raw words' }));
      });
    });
    const home = new Home(page);
    await home.open(`${url}/r/attic`, `Ann ${language}`);
    await page.locator('.brand').click(); // By way of a lobby, with which the words of rooms come.
    await page.getByTestId('create-room').waitFor();
    /** @type {Map<string, string>} */
    const said = new Map();
    for (code of [...ANSWERED, LATER]) {
      await home.rename(`Ben ${language}`);
      said.set(code, await says(page, code === LATER ? 'internal' : code, language));
      await page.getByTestId('notice').locator('button').last().click();
    }
    step(`${language}: ${[...said.values()].join(' | ')}`);
    await page.context().close();
  }
}

/** What a browser says when it opens no device. @type {[string, RegExp][]} */
const DEVICES = [
  ['NotAllowedError', /blocked/i],
  ['NotFoundError', /not found/i],
  ['NotReadableError', /does not start/i],
];

/**
 * Devices that do not open, as the lobby says it. One can go on without them.
 * @param {Open} open
 * @param {Plan} plan
 * @param {Step} step
 */
async function withoutDevices(open, plan, step) {
  for (const language of /** @type {Language[]} */ (['en', 'zh'])) {
    const page = await open(`devices ${language}`, language);
    await page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException('raw words', sessionStorage.getItem('refusal') ?? '');
      };
    });
    await page.goto(`${plan.url}/healthz`);
    for (const [refusal, words] of DEVICES) {
      await page.evaluate((refusal) => sessionStorage.setItem('refusal', refusal), refusal);
      await page.goto(`${plan.url}/r/devices`);
      await page.getByTestId('lobby-join').waitFor();
      const trouble = page.getByTestId('trouble');
      const text = await until(`words about ${refusal}`, async () => (await trouble.innerText()).trim());
      judge(refusal, text, language);
      if (language === 'en' && !words.test(text)) throw new Error(`${refusal}: ${text}`);
      await page.getByTestId('trouble-again').waitFor();
      step(`${refusal}: ${text}`);
    }
    await page.context().close();
  }
}

/**
 * The server is upgraded or away, and a room is not ours to enter.
 * @param {Open} open
 * @param {Plan} plan
 * @param {Step} step
 */
async function withoutServer(open, { url, invites }, step) {
  const page = await open('server');
  const { shut } = await gate(page);
  await page.goto(invites.other);
  await online(page);
  await page.goto(`${url}/r/elsewhere`);
  await page.getByTestId('lobby-join').click();
  step(`an invite for another room: ${await says(page, 'forbidden')}`);
  await page.route('**/v/**', (route) => route.fulfill({ status: 404 })); // as another version answers
  await page.getByTestId('notice').getByRole('button', { name: 'To the start' }).click();
  step(`a part that does not load: ${await says(page, 'not-loaded')}`);
  await shut('restarts');
  step(`a server that was upgraded: ${await says(page, 'upgraded')}`);
  await page.context().close();

  const late = await open('away', 'zh');
  const away = await gate(late);
  await late.goto(invites.other);
  await late.getByTestId('lobby-join').waitFor();
  await online(late);
  await away.shut('away');
  await late.getByTestId('lobby-join').click();
  const status = late.locator('tp-status:not([data-state=online])');
  await status.waitFor();
  judge('a server that is away', `${await status.innerText()} ${await late.getByTestId('lobby-join').innerText()}`, 'zh');
  await away.shut('restarts');
  await late.getByTestId('hangup').waitFor();
  step('who pressed Join while the server was away came in when it was back');
  await late.context().close();
}

/**
 * A page without HTTPS opens no camera, and a browser without WebRTC makes no calls.
 * @param {Open} open
 * @param {Plan} plan
 * @param {Step} step
 */
async function withoutMeans(open, { insecure, url, invites }, step) {
  const page = await open('insecure');
  await page.goto(invites.other.replace(url, insecure));
  await online(page);
  const trouble = page.getByTestId('trouble');
  const text = await until('words about https', async () => (await trouble.innerText()).trim());
  judge('a page without https', text, 'en');
  if (!/https/.test(text)) throw new Error(`without https: ${text}`);
  await page.getByTestId('lobby-join-without').click();
  await page.getByTestId('hangup').waitFor();
  step(`without https: ${text}`);
  await page.context().close();

  for (const language of /** @type {Language[]} */ (['en', 'zh'])) {
    const blocked = await open(`blocked ${language}`, language);
    await blocked.addInitScript(() => { // as add-ons and hardened browsers do
      for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection', 'RTCDataChannel']) Reflect.deleteProperty(globalThis, name);
    });
    await blocked.goto(`${url}/r/blocked`);
    const shown = blocked.locator('[data-testid=notice]:not(:empty), .lobby-says:not(:empty)').first();
    const said = await until('words about WebRTC', async () => (await shown.innerText()).trim());
    judge('a browser without WebRTC', said.replaceAll('WebRTC', ''), language);
    step(`without WebRTC: ${said}`);
    await blocked.context().close();
  }
}
