// @ts-check
import { drawIcon, fill, find, write } from '../dom.js';

/**
 * @import { LocalMedia } from '../media.js'
 * @import { Media } from '../sdk/negotiation.js'
 */

/** Mute, camera and hang up. */
export class Controls extends HTMLElement {
  /**
   * @param {LocalMedia} media
   * @param {() => void} hangup
   */
  watch(media, hangup) {
    fill(this, 'controls');
    this.#onClick('mute', () => media.toggleMicrophone());
    this.#onClick('camera', () => media.toggleCamera());
    this.#onClick('hangup', hangup);
    media.on('change', ({ detail }) => this.#update(detail));
    this.#update(media.tracks);
  }

  /** @param {Media} media */
  #update({ audio, video }) {
    this.#show('mute', !!audio?.enabled, audio ? 'Mute' : 'Microphone on', audio ? 'Unmute' : 'Microphone on', 'mic');
    this.#show('camera', !!video, 'Camera off', 'Camera on', 'camera');
  }

  /**
   * @param {string} testid
   * @param {boolean} on
   * @param {string} turnOff what the button says while it is on
   * @param {string} turnOn
   * @param {string} icon
   */
  #show(testid, on, turnOff, turnOn, icon) {
    const button = this.#button(testid);
    write(button, 'span', on ? turnOff : turnOn);
    drawIcon(button, on ? icon : `${icon}-off`);
    button.toggleAttribute('data-off', !on);
  }

  /** @param {string} testid */
  #button(testid) {
    return find(this, `[data-testid=${testid}]`, HTMLButtonElement);
  }

  /**
   * @param {string} testid
   * @param {() => unknown} act
   */
  #onClick(testid, act) {
    const button = this.#button(testid);
    button.addEventListener('click', async () => {
      button.disabled = true;
      await act();
      button.disabled = false;
    });
  }
}

customElements.define('tp-controls', Controls);
