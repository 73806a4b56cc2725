// @ts-check
import { say } from '../../words/room.js';
import { keysWanted, storeKeysWanted } from '../../storage.js';

/**
 * @import { Devices } from '../../sdk/turnpike.js'
 * @import { Controls } from './controls.js'
 */

/** What takes keys itself: fields, and, for the space bar, whatever it presses or scrolls. */
const WRITING = ['input', 'textarea', 'select', '[contenteditable]'].join();
const PRESSED = 'button, a[href], summary, [role=log], [role=menu]';
/** The keys that end the talking when they are lifted, by name or place. */
const TALKED = [' ', 'Space', 'Meta'];

/**
 * Single keys for what the controls of a room do, and the space bar to talk while it is held. People can turn all of them off
 * (WCAG 2.1.4), as speech input types what it hears.
 */
export class Keys {
  #controls;
  #devices;
  #talking = false;
  /** The talking has ended while a lost microphone was being replaced: the next one must be muted. */
  #isOwed = false;
  /** The button that a pointer has pressed last, and that has the focus only for that. @type {Element | null} */
  #clicked = null;
  #wanted = keysWanted();

  /**
   * @param {Controls} controls
   * @param {Devices} devices
   * @param {AbortSignal} signal ends it
   */
  constructor(controls, devices, signal) {
    this.#controls = controls;
    this.#devices = devices;
    controls.setKeys(this.#wanted);
    document.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    document.addEventListener('keyup', (event) => {
      // A modifier makes another character of the space bar, and macOS tells of no other key while its command key is held.
      if (!this.#talking || ![event.key, event.code].some((key) => TALKED.includes(key))) return;
      event.preventDefault(); // Else the button that has the focus would be pressed.
      this.#talk(false);
    }, { signal, capture: true });
    const end = () => this.#talk(false);
    // The page may not hear of the lifted key then. The microphone must not stay open, nor be on after a reload.
    for (const event of ['blur', 'pagehide']) addEventListener(event, end, { signal });
    for (const event of ['visibilitychange', 'contextmenu', 'dragstart']) document.addEventListener(event, end, { signal });
    devices.on('tracks', () => this.#isOwed && this.#mute(), { signal });
    signal.addEventListener('abort', () => this.#talk(false));
    document.addEventListener('click', ({ detail, target }) => {
      this.#clicked = detail > 0 && target instanceof Element ? target.closest('button') : null;
    }, { signal, capture: true });
  }

  get wanted() {
    return this.#wanted;
  }

  /** @param {boolean} wanted */
  want(wanted) {
    this.#wanted = wanted;
    storeKeysWanted(wanted);
    this.#controls.setKeys(wanted);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { target, repeat, defaultPrevented } = event;
    if (!this.#wanted || defaultPrevented || !(target instanceof Element) || target.closest(WRITING) || document.querySelector('dialog:modal')) return;
    const key = keyOf(event);
    if (key === ' ' && !repeat && (target === this.#clicked || !target.closest(PRESSED))) {
      if (this.#talk(true)) event.preventDefault();
    } else if (key === ' ') {
      if (this.#talking) event.preventDefault();
    } else if (!repeat) {
      const control = this.#controls.offered.find((control) => control.key === key);
      if (!control) return;
      event.preventDefault();
      if (control.byKey) control.byKey();
      else this.#controls.press(control.testid);
    }
  }

  /**
   * Ends the muting of the microphone, or goes back to it.
   *
   * @param {boolean} talk
   * @returns {boolean} whether the space bar is for this at the moment
   */
  #talk(talk) {
    const { microphone } = this.#devices.tracks;
    if (talk === this.#talking) return talk;
    if (talk && (!microphone || microphone.enabled)) return false;
    this.#talking = talk;
    if (talk) this.#devices.toggle('microphone');
    else this.#mute();
    this.#controls.toast(talk ? say('controls.talking') : '');
    return talk;
  }

  #mute() {
    const { microphone } = this.#devices.tracks;
    this.#isOwed = !microphone;
    if (microphone?.enabled) this.#devices.toggle('microphone');
  }
}

/**
 * The key as it is printed on a Latin keyboard: in other scripts, the letter at that place; '' for keys of the browser and of
 * the system.
 *
 * @param {Pick<KeyboardEvent, 'key' | 'code' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey' | 'isComposing'>} event
 */
export function keyOf({ key, code, ctrlKey, metaKey, altKey, shiftKey, isComposing }) {
  if (ctrlKey || metaKey || altKey || isComposing) return '';
  if (/^[?\u061f\uff1f]$/.test(key)) return '?'; // Also as Arabic and Chinese keyboards have it.
  if (shiftKey) return '';
  if (/^[a-z]$/i.test(key)) return key.toUpperCase();
  const place = /^\p{L}\p{M}*$/u.test(key) ? /^Key([A-Z])$/.exec(code)?.[1] : undefined;
  return place ?? key;
}
