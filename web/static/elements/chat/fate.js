// @ts-check
import { fill, find, findButton } from '../../dom.js';
import { say, several } from '../../words/room.js';
import { attachPopup } from '../popup.js';
import { isSettled, summary } from './delivery.js';

/**
 * @import { Reader } from './delivery.js'
 *
 * @typedef {object} Reach what the room knows of the readers
 * @property {(user: string) => boolean} isAway they may come back
 * @property {(user: string) => boolean} isHere a message reaches them
 */

/** @type {Reach} of a page that is in no room */
export const NOBODY = { isAway: () => false, isHere: () => false };

/**
 * Shows below a message of ours what has become of it: below the newest one, and below those that somebody lacks.
 *
 * @param {HTMLElement} item of the message
 * @param {Reader[]} to
 * @param {Reach & { isNewest: boolean, again: () => void }} how
 */
export function drawFate(item, to, { isAway, isHere, isNewest, again }) {
  const host = find(item, '.fate', HTMLElement);
  const words = summary(to, isAway);
  if (!words || (!isNewest && isSettled(to))) return host.replaceChildren();
  if (!host.hasChildNodes()) begin(host, again);
  const { key, names = [], ...values } = words;
  findButton(host, 'chat-state').textContent = say(key, { ...values, names: several(names) });
  findButton(host, 'chat-again').hidden = !to.some(({ user, fate }) => fate === 'failed' && isHere(user));
  host.toggleAttribute('data-failed', key === 'chat.failed');
  find(host, '.popup', HTMLElement).replaceChildren(...to.map(({ name, fate }) => {
    const line = document.createElement('p');
    line.textContent = say(`chat.reader.${fate}`, { name });
    return line;
  }));
}

/**
 * @param {HTMLElement} host
 * @param {() => void} again
 */
function begin(host, again) {
  fill(host, 'fate');
  attachPopup(findButton(host, 'chat-state'), find(host, '.popup', HTMLElement));
  findButton(host, 'chat-again').addEventListener('click', again);
}
