// @ts-check
import { drawIcon, fill, find, write } from '../dom.js';
import { attachPopup } from './popup.js';

/**
 * @typedef {object} Action that a button, an item of a menu or a key offers
 * @property {string} testid
 * @property {string | (() => string)} icon of icons.svg
 * @property {() => string} label what it does next
 * @property {() => boolean} [shown] whether it is offered at this moment; default: always
 * @property {boolean} [warn] it cannot be taken back
 * @property {string} [key] a Latin letter or a sign
 * @property {() => unknown} run
 */

/** A button and the menu that it opens. The menu is made anew whenever it opens, so it is as things are. */
export class Menu {
  #button;
  #popup;
  #actions;

  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} popup has the attribute `popover`
   * @param {() => (Action & { className?: string })[]} actions
   */
  constructor(button, popup, actions) {
    this.#button = button;
    this.#popup = popup;
    this.#actions = actions;
    popup.setAttribute('role', 'menu');
    button.setAttribute('aria-haspopup', 'menu');
    popup.addEventListener('beforetoggle', (event) => /** @type {ToggleEvent} */ (event).newState === 'open' && this.#draw());
    popup.addEventListener('toggle', (event) => /** @type {ToggleEvent} */ (event).newState === 'open' && this.#items[0]?.focus());
    popup.addEventListener('keydown', (event) => this.#move(event));
    attachPopup(button, popup);
    this.update();
  }

  /** A menu with nothing in it has no button. */
  update() {
    this.#button.hidden = this.#shown.length === 0;
    if (this.#button.hidden && this.#popup.matches(':popover-open')) this.#popup.hidePopover();
  }

  get #shown() {
    return this.#actions().filter(({ shown }) => shown?.() ?? true);
  }

  /** Those that can be seen: some are only there while the bar is narrow. */
  get #items() {
    return [...this.#popup.querySelectorAll('button')].filter((item) => item.checkVisibility());
  }

  #draw() {
    this.#popup.replaceChildren(...this.#shown.map((action) => {
      const item = /** @type {HTMLButtonElement} */ (actionButton(action));
      item.classList.add('quiet', ...(action.warn ? ['warn'] : []), ...(action.className ? [action.className] : []));
      item.setAttribute('role', 'menuitem');
      item.tabIndex = -1;
      if (action.key) {
        const key = document.createElement('kbd');
        key.textContent = action.key;
        key.ariaHidden = 'true';
        item.setAttribute('aria-keyshortcuts', action.key);
        item.append(key);
      }
      item.addEventListener('click', () => {
        this.#popup.hidePopover(); // First, so that the focus is back where it was before anything takes it.
        action.run();
      });
      return item;
    }));
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const items = this.#items;
    const at = items.indexOf(/** @type {any} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === 'Tab') this.#popup.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length)?.focus();
  }
}

/**
 * A button with a drawing and words. The caller listens to it.
 *
 * @param {Action} action
 */
export function actionButton(action) {
  const holder = document.createElement('div');
  fill(holder, 'action');
  const button = find(holder, 'button', HTMLButtonElement);
  button.dataset.testid = action.testid;
  drawAction(button, action);
  button.remove();
  return button;
}

/**
 * Draws an action as it is now.
 *
 * @param {HTMLButtonElement} button
 * @param {Pick<Action, 'icon' | 'label'>} action
 */
export function drawAction(button, { icon, label }) {
  drawIcon(button, typeof icon === 'string' ? icon : icon());
  write(button, 'span', label());
}
