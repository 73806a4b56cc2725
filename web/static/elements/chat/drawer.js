// @ts-check
import { find, findButton, write } from '../../dom.js';

/** Where the chat and the people have room beside each other, the chat is open at the start. */
const WIDE = '(min-width: 60.01rem) and (min-height: 30.01rem)';

/** Opens and closes the chat of a room, and shows how many messages are unread. */
export class Drawer {
  #page;
  #actions;
  /** The user has opened or closed the chat. Until then, the width of the window decides. */
  #chosen = false;

  /**
   * @param {HTMLElement} page of the room, whose attribute data-chat says that the chat is open
   * @param {{ opened: () => void, closed: () => void }} actions
   * @param {AbortSignal} signal aborts when the page ends
   */
  constructor(page, actions, signal) {
    this.#page = page;
    this.#actions = actions;
    this.#toggle.addEventListener('click', () => this.#choose(!this.isOpen));
    findButton(page, 'chat-close').addEventListener('click', () => this.#choose(false));
    find(page, '.side', HTMLElement).addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || event.isComposing || page.querySelector('.side .popup:popover-open')) return;
      this.#choose(false);
    });
    const wide = matchMedia(WIDE);
    wide.addEventListener('change', () => this.#chosen || this.#set(wide.matches), { signal });
    this.#set(wide.matches);
  }

  get #toggle() {
    return findButton(this.#page, 'chat-toggle');
  }

  get isOpen() {
    return this.#page.hasAttribute('data-chat');
  }

  /** @param {boolean} open */
  #set(open) {
    const isNews = open !== this.isOpen;
    this.#page.toggleAttribute('data-chat', open);
    this.#toggle.setAttribute('aria-expanded', String(open));
    if (open) this.#actions.opened();
    else if (isNews) this.#actions.closed();
  }

  /** @param {boolean} open */
  #choose(open) {
    this.#chosen = true;
    this.#set(open);
    // On a phone, the focus on the field would open the keyboard, which hides what was just opened.
    if (!open) this.#toggle.focus();
    else if (matchMedia('(pointer: fine)').matches) find(this.#page, 'tp-chat textarea', HTMLElement).focus();
    else find(this.#page, '.side h2', HTMLElement).focus();
  }

  /** @param {number} count */
  showUnread(count) {
    write(this.#toggle, '.unread', count === 0 ? '' : count > 99 ? '99+' : String(count));
  }
}
