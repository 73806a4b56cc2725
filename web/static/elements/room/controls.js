// @ts-check
import { say } from '../../words/room.js';
import { drawIcon, fill, findButton, press, write } from '../../dom.js';

/**
 * @import { Devices } from '../../sdk/turnpike.js'
 * @import { Tracks } from '../../sdk/peer/sources.js'
 */

/** A picture of our own tab would be in itself, again and again. The user may choose another screen later, and its sound. */
const SCREEN = /** @type {DisplayMediaStreamOptions} */ ({ video: true, audio: true, selfBrowserSurface: 'exclude', surfaceSwitching: 'include', systemAudio: 'include' });

/**
 * The buttons for microphone, camera and hanging up. The label of a button is what it does next, so it has no
 * `aria-pressed`: "Unmute, pressed" would say nothing.
 */
export class Controls extends HTMLElement {
  /**
   * @param {Devices} devices
   * @param {() => void} hangup
   */
  watch(devices, hangup) {
    fill(this, 'controls');
    this.#onPress('mute', () => devices.toggle('microphone'));
    this.#onPress('camera', () => devices.toggle('camera'));
    this.#onPress('share-screen', () => (devices.tracks.screen ? devices.stopScreen() : devices.shareScreen(SCREEN)));
    this.#onPress('hangup', hangup);
    findButton(this, 'share-screen').hidden = !navigator.mediaDevices?.getDisplayMedia;
    devices.on('tracks', (tracks) => this.#update(tracks));
    this.#update(devices.tracks);
  }

  /** @param {Tracks} tracks */
  #update({ microphone, camera, screen }) {
    write(findButton(this, 'share-screen'), 'span', say(screen ? 'stage.stop-sharing' : 'stage.share'));
    findButton(this, 'share-screen').toggleAttribute('data-on', !!screen);
    this.#show('mute', !!microphone?.enabled, 'Mute', 'Unmute', 'mic');
    this.#show('camera', !!camera, 'Stop camera', 'Start camera', 'camera');
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
    button.addEventListener('click', () => press(button, act));
  }
}

customElements.define('tp-controls', Controls);
