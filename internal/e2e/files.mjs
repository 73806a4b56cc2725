// @ts-check
// Files that go by a code between pages and command lines.

import { spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { once } from 'node:events';
import { until } from './browser.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('playwright-core').Page} Page
 * @typedef {(what: string) => void} Step
 * @typedef {{ place: import('./browser.mjs').Place, url: string, turnpike: string, folder: string, megabytes: number }} Plan `folder` is empty, and goes with the test
 */

/** Milliseconds for a whole transfer, on a machine that has much else to do. */
const TRANSFER_MS = 240_000;

/** Makes a file of random bytes. @param {string} path @param {number} megabytes */
async function randomFile(path, megabytes) {
  const out = createWriteStream(path);
  for (let i = 0; i < megabytes; i++) if (!out.write(randomFillSync(new Uint8Array(1_000_000)))) await once(out, 'drain');
  out.end();
  await once(out, 'finish');
}

/** @param {string} path */
async function sumOf(path) {
  const sum = createHash('sha256');
  for await (const bytes of createReadStream(path)) sum.update(bytes);
  return sum.digest('hex');
}

/** A command line, in the namespace of this driver. @param {Plan} plan @param {string} home @param {string[]} args */
function run(plan, home, args) {
  const child = spawn(plan.turnpike, args, { env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home } });
  const running = { said: '', exit: once(child, 'exit').then(([status]) => /** @type {number} */ (status)), stdin: child.stdin };
  const kill = () => child.kill();
  process.on('exit', kill); // Also after a failure, when nothing waits for it.
  child.on('exit', () => process.off('exit', kill)); // The driver plays other scenarios.
  child.unref();
  for (const stream of [child.stdout, child.stderr]) /** @type {import('node:net').Socket} */ (stream).unref();
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (running.said += part));
  return running;
}

/** Has a page keep what it gives to be saved, and lets it ask for no place before. @param {Page} page */
async function keepSaved(page) {
  await page.addInitScript(() => {
    const kept = /** @type {any} */ (globalThis);
    delete kept.showSaveFilePicker;
    delete kept.showDirectoryPicker;
    const { createObjectURL } = URL;
    URL.createObjectURL = (blob) => {
      kept.saved = blob;
      return createObjectURL(blob);
    };
    kept.heap = 0;
    setInterval(() => (kept.heap = Math.max(kept.heap, kept.performance.memory?.usedJSHeapSize ?? 0)), 100);
  });
}

/** @param {Page} page @param {string} name of a blob of the page's */
function sumInPage(page, name) {
  return page.evaluate(async (name) => {
    const blob = await /** @type {any} */ (globalThis)[name];
    const sum = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
    return [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }, name);
}

/** Chooses files in the page that sends, and makes a code. @param {Page} page @param {Plan} plan @param {string[]} files */
async function offer(page, plan, files) {
  await page.goto(`${plan.url}/c/`);
  await page.getByTestId('files').setInputFiles(files);
  await page.getByTestId('make-code').click();
  const code = await page.getByTestId('code-text').innerText();
  return { code, link: await page.getByTestId('code-link').inputValue() };
}

/** @param {Page} page */
const heading = (page) => page.locator('h1').innerText();

/** @param {Page} page @param {string} title */
async function says(page, title) {
  await page.locator('h1').filter({ hasText: title }).waitFor();
}

/** @param {unknown} got @param {unknown} want @param {string} what */
function same(got, want, what) {
  if (got !== want) throw new Error(`${what}: ${got}, not ${want}`);
}

/**
 * A command line sends to a page, which asks first.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function filesToPage(stage, plan, step) {
  const home = plan.folder;
  const big = join(home, 'big.bin');
  await randomFile(big, plan.megabytes);
  const sender = run(plan, home, ['send', big, '--server', plan.url, '--name', 'Ann Example']);
  const link = await until('a link', async () => /http\S+\/c\/\d+#\S+/.exec(sender.said)?.[0]);
  const page = await stage.page(await stage.browser(plan.place), 'page');
  await keepSaved(page);
  await page.goto(link);
  await page.getByTestId('accept').waitFor();
  same(new URL(page.url()).hash, '', 'the words are still in the address bar');
  same((await heading(page)).replace(/\p{Cf}/gu, ''), 'Ann Example sends you a file', 'the offer'); // Not all browsers tell of marks.
  await page.locator('.way').filter({ hasText: 'Directly from one to the other' }).waitFor(); // It is known a moment later.
  step('the page asks before it takes anything');
  await page.getByTestId('accept').click();
  await page.locator('tp-progress').waitFor();
  await page.getByTestId('save').waitFor({ timeout: TRANSFER_MS });
  const heap = await page.evaluate(() => /** @type {any} */ (globalThis).heap);
  if (heap > 100e6) throw new Error(`the page has ${heap} bytes in its heap`);
  const want = await sumOf(big);
  same(await page.getByTestId('sum').textContent(), `SHA-256 ${want}`, 'what the page says of the file');
  same(await sumInPage(page, 'saved'), want, 'what the page saves');
  same(await sender.exit, 0, `the sender's status: ${sender.said}`);
  step(`${plan.megabytes} MB have come`);
  const again = await stage.page(page.context().browser() ?? (await stage.browser(plan.place)), 'again');
  await again.goto(link);
  await says(again, 'There is no such code');
  return { heap };
}

/**
 * A page sends to a command line.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function filesFromPage(stage, plan, step) {
  const home = plan.folder;
  const big = join(home, 'big.bin');
  await randomFile(big, plan.megabytes);
  const page = await stage.page(await stage.browser(plan.place), 'page');
  const { code } = await offer(page, plan, [big]);
  same(await page.getByTestId('command').innerText(), `turnpike receive --server ${new URL(plan.url).host}`, 'the command');
  const folder = join(home, 'come');
  await mkdir(folder);
  const receiver = run(plan, home, ['receive', '--server', plan.url, '--output', folder, '--yes']);
  receiver.stdin.end(`${code}\n`);
  same(await receiver.exit, 0, `the receiver's status: ${receiver.said}`);
  same(await sumOf(join(folder, 'big.bin')), await sumOf(big), 'what has come');
  await says(page, 'They have it');
  step(`${plan.megabytes} MB have come`);
  return {};
}

/**
 * Words that nobody has, codes that serve no more, and a receiver who says no, with a command line at the other end.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function filesRefused(stage, plan, step) {
  const home = plan.folder;
  const small = join(home, 'small.txt');
  await writeFile(small, 'small');
  const page = await stage.page(await stage.browser(plan.place), 'page');
  /** @param {(code: string) => Promise<void>} act */
  const sending = async (act) => {
    const sender = run(plan, home, ['send', small, '--server', plan.url]);
    const code = await until('a code', async () => /code: (\S+)/.exec(sender.said)?.[1]);
    await act(code);
    return { code, status: await sender.exit, said: sender.said };
  };
  /** @param {string} text */
  const type = async (text) => {
    await page.goto(`${plan.url}/c/`);
    await page.getByTestId('code').fill(text);
    await page.getByTestId('take-code').click();
  };
  const wrong = await sending(async (code) => {
    const [slot] = code.split('-');
    await type(`${slot} ${code.includes('crossover') ? 'vagabond' : 'crossover'} clockwork`);
    await says(page, 'The words do not match');
  });
  same(wrong.status, 1, `the sender's status after a wrong word: ${wrong.said}`);
  step('a wrong word ends the code for both');
  await type(wrong.code);
  await says(page, 'There is no such code');
  step('a code that is over');
  const declined = await sending(async (code) => {
    await type(code.toUpperCase().replaceAll('-', ' '));
    await page.getByTestId('decline').click();
    await says(page, 'You said no');
  });
  same(declined.status, 1, `the sender's status after a no: ${declined.said}`);
  step('somebody does not want it');
  return {};
}

/**
 * From page to page: a folder, into a folder and as a zip file; two receivers; a wrong word; an interruption.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function filesBetweenPages(stage, plan, step) {
  const home = plan.folder;
  const browser = await stage.browser(plan.place);
  const [ann, ben, cid] = [await stage.page(browser, 'ann'), await stage.page(browser, 'ben'), await stage.page(browser, 'cid')];
  const big = join(home, 'big.bin');
  await randomFile(big, 10);
  await writeFile(join(home, 'letter.txt'), 'Dear Ben');
  await ann.goto(`${plan.url}/c/`);
  await ann.getByTestId('files').setInputFiles([big, join(home, 'letter.txt')]);
  await ann.locator('[name=receivers]').selectOption('2');
  await ann.getByTestId('make-code').click();
  const link = await ann.getByTestId('code-link').inputValue();
  await ben.addInitScript(() => {
    const kept = /** @type {any} */ (globalThis);
    kept.showDirectoryPicker = async () => (kept.folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('picked', { create: true }));
  });
  await keepSaved(cid);
  await ben.goto(link);
  await ben.getByTestId('accept-folder').waitFor();
  await ben.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('picked', { create: true });
    await (await (await folder.getFileHandle('letter.txt', { create: true })).createWritable()).close(); // somebody has it already
  });
  await ben.getByTestId('accept-folder').click();
  await says(ben, '2 files are here');
  const inFolder = await ben.evaluate(async () => {
    const { folder } = /** @type {any} */ (globalThis);
    /** @type {Record<string, number>} */
    const sizes = {};
    for (const name of ['big.bin', 'letter (2).txt', 'letter.txt']) sizes[name] = (await (await folder.getFileHandle(name)).getFile()).size;
    const file = async (/** @type {string} */ name) => (await folder.getFileHandle(name)).getFile();
    Object.assign(globalThis, { big: await file('big.bin') });
    return { sizes, letter: await (await file('letter (2).txt')).text() };
  });
  same(JSON.stringify(inFolder), JSON.stringify({ sizes: { 'big.bin': 10_000_000, 'letter (2).txt': 8, 'letter.txt': 0 }, letter: 'Dear Ben' }), 'the folder');
  same(await sumInPage(ben, 'big'), await sumOf(big), 'the big file in the folder');
  step('one receiver has the files in a folder, and nothing was written over');
  await cid.goto(link);
  await cid.getByTestId('accept').click();
  await cid.getByTestId('save').waitFor({ timeout: TRANSFER_MS });
  const size = await cid.evaluate(() => /** @type {any} */ (globalThis).saved.size);
  if (size < 10_000_008 || size > 10_001_000) throw new Error(`the zip file has ${size} bytes`);
  await says(ann, 'They have it');
  step('the other has a zip file');
  const { code } = await offer(ann, plan, [big]);
  const [slot = ''] = code.split('-');
  await cid.goto(`${plan.url}/c/${slot}#${code.includes('crossover') ? 'vagabond' : 'crossover'}-clockwork`);
  await says(cid, 'The words do not match');
  await says(ann, 'Somebody had other words');
  step('a wrong word ends the code for both');
  return {};
}

