// @ts-check
import { find } from './dom.js';
import { say } from './words/page.js';

const COPIED_MS = 2000;

/**
 * Copies a link, and says so for a while on the button for it.
 *
 * @param {HTMLButtonElement} button
 * @param {string | Promise<string>} link
 * @throws if the browser does not let this page copy
 */
export async function copyLink(button, link) {
  await copyText(link);
  const label = find(button, 'span', HTMLElement);
  label.textContent = say('page.copied');
  setTimeout(() => (label.textContent = say('page.copy-link')), COPIED_MS);
}

/**
 * Browsers let a page copy only while it handles a click, so some want to know right then that a text will come.
 *
 * @param {string | Promise<string>} text
 */
async function copyText(text) {
  if (typeof text === 'string' || typeof ClipboardItem !== 'function') return navigator.clipboard.writeText(await text);
  const blob = text.then((text) => new Blob([text], { type: 'text/plain' }));
  await navigator.clipboard.write([new ClipboardItem({ 'text/plain': blob })]);
}
