// @ts-check
import { drawIcon, fill, findButton, write } from '../dom.js';

/**
 * @import { LocalMedia, Media } from '../media.js'
 */

/**
 * The buttons for microphone, camera and hanging up. The label of a button is what it does next, so it has no
 * `aria-pressed`: "Unmute, pressed" would say nothing.
 */
export class Controls extends HTMLElement {
  /**
   * @param {LocalMedia} media
   * @param {() => void} hangup
   */
  watch(media, hangup) {
    fill(this, 'controls');
    this.#onPress('mute', () => media.toggleMicrophone());
    this.#onPress('camera', () => media.toggleCamera());
    this.#onPress('hangup', hangup);
    media.on('change', (tracks) => this.#update(tracks));
    this.#update(media.tracks);
  }

  /** @param {Media} media */
  #update({ audio, video }) {
    this.#show('mute', !!audio?.enabled, 'Mute', 'Unmute', 'mic');
    this.#show('camera', !!video, 'Stop camera', 'Start camera', 'camera');
  }

  /**
   * @param {string} testid
   * @param {boolean} on
   * @param {string} turnOff the button's label while it is on
   * @param {string} turnOn
   * @param {string} icon
   */
  #show(testid, on, turnOff, turnOn, icon) {
    const button = findButton(this, testid);
    write(button, 'span', on ? turnOff : turnOn);
    drawIcon(button, on ? icon : `${icon}-off`);
    button.toggleAttribute('data-off', !on);
  }

  /**
   * @param {string} testid
   * @param {() => unknown} act
   */
  #onPress(testid, act) {
    const button = findButton(this, testid);
    button.addEventListener('click', async () => {
      if (button.ariaDisabled === 'true') return;
      button.ariaDisabled = 'true'; // A button that is really disabled loses the focus.
      try {
        await act();
      } finally {
        button.ariaDisabled = 'false';
      }
    });
  }
}

customElements.define('tp-controls', Controls);
