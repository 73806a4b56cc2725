// @ts-check
import { fill, find, write } from '../../dom.js';
import { say } from '../../words/room.js';

/**
 * Shows on a tile that the hand is up.
 *
 * @param {HTMLElement | undefined} tile
 * @param {number} place in the order; 0: it is down
 */
export function showHand(tile, place) {
  tile?.querySelector('.hand')?.remove();
  if (!tile || place === 0) return;
  const holder = document.createElement('div');
  fill(holder, 'hand');
  find(holder, '.hand', HTMLElement).setAttribute('aria-label', say('controls.hand-up', { place }));
  write(holder, '.place', String(place));
  tile.append(...holder.childNodes);
}
