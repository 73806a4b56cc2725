// @ts-check
import { drawAvatar, drawIcon, fill, find, findButton, pageLoaded, press, write } from '../../dom.js';
import { say } from '../../words/room.js';
import { NameForm } from '../name.js';
import { LevelMeter } from '../devices/level.js';
import { DeviceSelects } from '../devices/selects.js';

/**
 * @import { App } from '../../app.js'
 * @import { DeviceChoices } from '../../choices.js'
 * @import { Devices } from '../../sdk/turnpike.js'
 *
 * @typedef {object} LobbyPage what a lobby needs of its page
 * @property {App} app
 * @property {string} roomId
 * @property {Devices} devices
 * @property {DeviceChoices} choices
 * @property {() => Promise<void>} starting resolves when camera and microphone are open, or cannot be
 * @property {(how: { silent: boolean }) => void} join silent: without camera and microphone
 */

/** What Enter does something with by itself. */
const OPERABLE = ['a', 'button', 'input', 'select', 'textarea', 'summary', 'dialog'].join();

/** The place before a room: how we look and sound, who we are, and the button that takes us in. Nobody in the room knows of us. */
export class Lobby extends HTMLElement {
  /** @type {LobbyPage | undefined} */
  #page;
  #ended = new AbortController();
  /** Whether the browser still opens our devices, or asks whether it may. */
  #isStarting = false;

  /** @param {LobbyPage} page */
  open(page) {
    this.#page = page;
    this.dataset.testid = 'lobby';
    fill(this, 'lobby');
    const { app, devices, choices } = page;
    const signal = this.#ended.signal;
    write(this, '[data-testid=lobby-room]', page.roomId);
    this.toggleAttribute('data-only-writes', app.session.onlyWrites);
    if (app.session.onlyWrites) write(this, '.lobby-about', say('lobby.only-writes-about'));
    find(this, 'tp-name', NameForm).watch(app);
    find(this, '.lobby-devices', DeviceSelects).watch(devices, choices, signal);
    this.#onPress('lobby-mute', () => devices.toggle('microphone'));
    this.#onPress('lobby-camera', () => devices.toggle('camera'));
    findButton(this, 'lobby-join').addEventListener('click', () => this.#join(false));
    findButton(this, 'lobby-join-without').addEventListener('click', () => this.#join(true));
    this.addEventListener('submit', () => this.#join(false)); // Enter in the field of the name.
    document.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    devices.on('tracks', () => this.#show(), { signal });
    devices.on('problem', () => this.#show(), { signal });
    app.session.on('name', () => this.#show(), { signal });
    this.#follow();
    this.#show();
  }

  /** Whether it is there. */
  get isOpen() {
    return this.#page !== undefined;
  }

  /** Shows what is wrong with our devices. @param {Element} strip */
  takeTrouble(strip) {
    find(this, '.lobby-trouble', HTMLElement).append(strip);
  }

  close() {
    this.#page = undefined;
    this.#ended.abort();
    find(this, 'video', HTMLVideoElement).srcObject = null;
    this.replaceChildren();
  }

  disconnectedCallback() {
    if (this.isOpen) this.close();
  }

  /** Shows what the browser does until the devices are open. */
  async #follow() {
    this.#isStarting = true;
    await this.#page?.starting();
    this.#isStarting = false;
    if (this.isOpen) this.#show();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const isElsewhere = event.target instanceof Element && event.target.closest(OPERABLE);
    if (event.key !== 'Enter' || event.repeat || event.isComposing || isElsewhere || document.querySelector('dialog[open]')) return;
    if (this.checkVisibility()) this.#join(false);
  }

  /** @param {boolean} silent */
  async #join(silent) {
    if (this.hasAttribute('data-joining')) return;
    this.#setJoining(true);
    const isNamed = await find(this, 'tp-name', NameForm).commit();
    if (isNamed) this.#page?.join({ silent });
    else if (this.isOpen) this.#setJoining(false);
  }

  /** @param {boolean} joining whether we are on the way in, which takes as long as the server does */
  #setJoining(joining) {
    this.toggleAttribute('data-joining', joining);
    write(this, '[data-testid=lobby-join] span', say(joining ? 'lobby.joining' : 'lobby.join'));
    for (const button of ['lobby-join', 'lobby-join-without']) findButton(this, button).ariaDisabled = String(joining);
  }

  #show() {
    const page = this.#page;
    if (!page) return;
    const { camera, microphone } = page.devices.tracks;
    this.toggleAttribute('data-video', !!camera);
    this.toggleAttribute('data-plain', !page.choices.isMirrored);
    drawAvatar(this, page.app.session.name);
    this.#label('lobby-mute', !!microphone?.enabled, ['lobby.mute', 'lobby.unmute'], 'mic');
    this.#label('lobby-camera', !!camera, ['lobby.camera-off', 'lobby.camera-on'], 'camera');
    find(this, 'tp-level', LevelMeter).watch(microphone?.enabled ? microphone : null);
    write(this, '.lobby-says', camera ? '' : say(this.#saying(page)));
    this.#play(camera);
  }

  /** @param {LobbyPage} page @returns {string} the key of what stands in the place of our picture */
  #saying({ app, choices }) {
    if (app.session.onlyWrites) return 'lobby.only-writes';
    return this.#isStarting && choices.wanted.camera ? 'lobby.starting' : 'lobby.no-picture';
  }

  /** @param {MediaStreamTrack | null} camera */
  #play(camera) {
    const video = find(this, 'video', HTMLVideoElement);
    const shown = video.srcObject;
    if (camera ? shown instanceof MediaStream && shown.getTracks()[0] === camera : !shown) return;
    const stream = camera && new MediaStream([camera]);
    pageLoaded.then(() => this.isOpen && (video.srcObject = stream));
  }

  /**
   * @param {string} testid
   * @param {boolean} on
   * @param {[off: string, on: string]} labels what the button does next
   * @param {string} icon
   */
  #label(testid, on, [turnOff, turnOn], icon) {
    const button = findButton(this, testid);
    button.setAttribute('aria-label', say(on ? turnOff : turnOn));
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

customElements.define('tp-lobby', Lobby);
