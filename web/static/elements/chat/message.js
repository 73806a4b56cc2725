// @ts-check
import { fill, find, write } from '../../dom.js';
import { locale, say } from '../../words/room.js';
import { isEmoji } from './emoji.js';
import { withLinks } from './links.js';

/**
 * @import { Reader } from './delivery.js'
 *
 * @typedef {object} ShownMessage
 * @property {string} text
 * @property {Date} at by our clock
 * @property {boolean} own
 * @property {string} [sender] the name; missing if it is ours
 * @property {string} [user] the sender's
 * @property {number} [sentAt] milliseconds by the sender's clock
 * @property {boolean} [seen] it was in sight here
 * @property {Reader[]} [to] those for whom ours is
 */

const TIME = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });

/**
 * @param {ShownMessage} message
 * @param {boolean} goesOn the same sender has written the message above, in the same minute
 */
export function drawMessage({ sender, text, at, own }, goesOn) {
  const item = document.createElement('div');
  item.className = 'message';
  item.toggleAttribute('data-own', own);
  item.toggleAttribute('data-goes-on', goesOn);
  item.toggleAttribute('data-emoji', isEmoji(text));
  fill(item, 'message');
  write(item, '.sender', sender ?? say('page.you'));
  find(item, '.line', HTMLElement).classList.toggle('sr-only', goesOn);
  find(item, '.text', HTMLElement).replaceChildren(...withLinks(text).map((part) => (typeof part === 'string' ? part : anchor(part))));
  const time = find(item, 'time', HTMLTimeElement);
  time.dateTime = at.toISOString();
  time.textContent = TIME.format(at);
  return item;
}

/** @param {import('./links.js').Link} link */
function anchor({ href, text }) {
  const link = document.createElement('a');
  link.href = href;
  link.target = '_blank';
  link.relList.add('noopener', 'noreferrer');
  link.dir = 'ltr';
  link.textContent = text;
  return link;
}
