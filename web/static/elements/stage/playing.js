// @ts-check
import { find, giveFocus } from '../../dom.js';

/**
 * Plays the stream of others with its sound. A browser may refuse the sound before the user has touched the page: then the
 * picture plays without, and a button turns the sound on.
 *
 * @param {HTMLElement} tile with a `<video>` and the button `.unblock`
 * @returns {() => void} plays what has come
 */
export function withSound(tile) {
  const video = find(tile, 'video', HTMLVideoElement);
  const unblock = find(tile, '.unblock', HTMLButtonElement);
  const play = async () => {
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      video.muted = true;
      unblock.hidden = false;
      video.play().catch(() => {});
    }
  };
  unblock.addEventListener('click', () => {
    video.muted = false;
    unblock.hidden = true;
    giveFocus(tile.querySelector('tp-path button, button'));
    play();
  });
  return play;
}
