// @ts-check
import { fill, find, findButton, press } from '../../dom.js';
import { Menu, actionButton, drawAction } from '../menu.js';

/**
 * @import { Action } from '../menu.js'
 *
 * @typedef {Action & {
 *   place?: 'bar' | 'menu' | 'key', off?: () => boolean, on?: () => boolean, name?: () => string, listed?: string, byKey?: () => unknown,
 * }} Control place: default `menu`; `key` has only a key, and its testid may be that of a button elsewhere in the room. off: it is
 * crossed out and tinted; on: it is going on, and tinted. name: for the list of keys; default: the label. listed: how that list
 * writes the key, or '' if it does not. byKey: for its key, if that does something else
 */

/** The buttons of the bar, in their order, and the items of the menu. All others come last. */
const BAR = ['mute', 'camera', 'share-screen', 'hand', 'react', 'chat-toggle', 'more', 'hangup'];
const MENU = ['share-screen', 'hand', 'react', 'pip', 'fullscreen', 'flip', 'settings', 'invite', 'menu-lock', 'keys'];
/** In the list of keys. */
const KEYS = ['mute', 'camera', 'share-screen', 'hand', 'react', 'chat-toggle', 'pin-1', 'pip', 'fullscreen', 'settings', 'invite', 'keys', 'hangup'];
/** Those that a narrow bar leaves to the menu, and in which order: see controls.css. @type {Record<string, string>} */
const LEAVES = { react: 'leaves-first', 'share-screen': 'leaves', hand: 'leaves' };
const TOAST_MS = 4000;

/**
 * The bar below the people, and its menu. The label of a button is what it does next, so it has no `aria-pressed`: "Unmute,
 * pressed" would say nothing.
 */
export class Controls extends HTMLElement {
  /** @type {Map<string, Control>} by testid */
  #controls = new Map();
  /** @type {Menu | undefined} */
  #menu;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #toast;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #told;
  #withKeys = true;

  connectedCallback() {
    if (this.firstChild) return;
    fill(this, 'controls');
    this.#menu = new Menu(findButton(this, 'more'), find(this, '.popup', HTMLElement), () => this.#items);
  }

  /** What is offered, and can be used at this moment. */
  get offered() {
    return sorted(this.#controls.values(), KEYS).filter(({ shown }) => shown?.() ?? true);
  }

  /** The items of the menu: what is only there, and what a narrow bar has no place for. */
  get #items() {
    return sorted(this.#controls.values(), MENU).filter(({ place = 'menu', testid }) => place === 'menu' || (place === 'bar' && LEAVES[testid]))
      .map((control) => (control.place === 'bar' ? { ...control, testid: `menu-${control.testid}`, className: LEAVES[control.testid] } : control))
      .map(({ key, ...control }) => (key && this.#withKeys ? { ...control, key } : control));
  }

  /** Offers a control, in the place of the one of the same name. @param {Control} control */
  offer(control) {
    const isNew = !this.#controls.has(control.testid);
    this.#controls.set(control.testid, control);
    if (isNew && control.place === 'bar') this.#place(control);
    this.update();
  }

  /** @param {Control} control */
  #place(control) {
    const { testid } = control;
    const tray = find(this, '.tray', HTMLElement);
    const known = /** @type {HTMLButtonElement | null} */ (tray.querySelector(`[data-testid="${testid}"]`));
    const button = known ?? actionButton(control);
    if (LEAVES[testid]) button.classList.add(LEAVES[testid]);
    button.addEventListener('click', () => this.press(testid));
    if (known) return;
    const next = BAR.slice(BAR.indexOf(testid) + 1).map((name) => tray.querySelector(`[data-testid="${name}"]`)).find((found) => found);
    tray.insertBefore(button, next ?? null);
  }

  /** Does what a control is for, unless that is under way. @param {string} testid */
  press(testid) {
    const control = this.#controls.get(testid);
    const button = control?.place === 'bar' && this.#buttonOf(control);
    if (button) press(button, control.run);
    else control?.run();
  }

  /** Draws everything as it is now. */
  update() {
    for (const control of this.#controls.values()) {
      const button = this.#buttonOf(control);
      if (!button) continue;
      if (control.key && this.#withKeys) button.setAttribute('aria-keyshortcuts', control.key);
      else button.removeAttribute('aria-keyshortcuts');
      if (control.place !== 'bar') continue;
      button.hidden = !(control.shown?.() ?? true);
      button.toggleAttribute('data-off', control.off?.() ?? false);
      button.toggleAttribute('data-on', control.on?.() ?? false);
      drawAction(button, control);
    }
    this.#menu?.update();
  }

  /** @param {Control} control @returns {HTMLButtonElement | null | undefined} */
  #buttonOf({ testid, place }) {
    const host = place === 'bar' ? find(this, '.tray', HTMLElement) : this.closest('tp-room');
    return host?.querySelector(`button[data-testid="${testid}"]`);
  }

  /** Whether single keys are in use, and so named. @param {boolean} withKeys */
  setKeys(withKeys) {
    this.#withKeys = withKeys;
    this.update();
  }

  /** The button beside which something opens: the one of this name, or that of the menu if the bar has no place for it. @param {string} testid */
  anchor(testid) {
    const button = findButton(this, testid);
    return button.checkVisibility() ? button : findButton(this, 'more');
  }

  /** Says something above the bar for a while, also to screen readers. @param {string} text '' takes it away */
  toast(text) {
    clearTimeout(this.#toast);
    find(this, '.toast', HTMLElement).textContent = text;
    if (text) this.#toast = setTimeout(() => this.toast(''), TOAST_MS);
  }

  /** Tells screen readers something that others see. @param {string} text */
  tell(text) {
    clearTimeout(this.#told);
    find(this, '.news', HTMLElement).textContent = text;
    this.#told = setTimeout(() => (find(this, '.news', HTMLElement).textContent = ''), TOAST_MS); // The same words are news again then.
  }
}

/**
 * @template {{ testid: string }} T
 * @param {Iterable<T>} items
 * @param {string[]} order
 */
function sorted(items, order) {
  const rank = (/** @type {T} */ { testid }) => (order.includes(testid) ? order.indexOf(testid) : order.length);
  return [...items].sort((a, b) => rank(a) - rank(b));
}

customElements.define('tp-controls', Controls);
