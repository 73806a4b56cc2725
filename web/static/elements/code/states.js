// @ts-check
import { fill, find, write } from '../../dom.js';
import { say } from '../../words/code.js';

/**
 * @import { Saying } from '../../code/sayings.js'
 * @import { Path } from '../../sdk/peer/path.js'
 */

/**
 * Shows how the bytes go.
 *
 * @param {ParentNode} host of the `.way`
 * @param {Path | undefined} path
 * @param {boolean} [isMoving] whether something is under way, so that there should be a path
 */
export function showWay(host, path, isMoving = false) {
  const way = host.querySelector('.way');
  if (!(way instanceof HTMLElement)) return;
  way.dataset.kind = path?.kind ?? 'waiting';
  way.textContent = wayOf(path) || (isMoving ? say('code.interrupted') : '');
}

/** @param {Path | undefined} path */
export function wayOf(path) {
  if (!path) return '';
  return say(path.kind === 'direct' ? 'code.directly' : 'code.relayed');
}

/**
 * Shows that it is over, and what one can do.
 *
 * @param {HTMLElement} host
 * @param {Saying} saying
 */
export function showEnd(host, { title, text }) {
  host.dataset.step = 'over';
  fill(host, 'code-end');
  write(host, 'h1', title);
  write(host, '.soft', text);
  const link = document.createElement('a');
  Object.assign(link, { className: 'button primary', href: '/c/', textContent: say('page.to-start') });
  find(host, '.row', HTMLElement).append(link);
  find(host, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
}
