// @ts-check
// An app of another origin that knows of the SDK what the documents say.

import { readFile } from 'node:fs/promises';
import { appPage, seesAndHears } from './apppage.mjs';

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
