// @ts-check
import { find, findButton, isolate, write } from '../../dom.js';

/** Where the chat and the people have room beside each other, the chat is open at the start. */
const WIDE = '(min-width: 60.01rem) and (min-height: 30.01rem)';

/** Opens and closes the chat of a room, and counts the messages that arrive while it is closed. */
export class Drawer {
  #page;
  #unread = 0;
  /** The user has opened or closed the chat. Until then, the width of the window decides. */
  #chosen = false;

  /**
   * @param {HTMLElement} page of the room, whose attribute data-chat says that the chat is open
   * @param {AbortSignal} signal aborts when the page ends
   */
  constructor(page, signal) {
    this.#page = page;
    this.#toggle.addEventListener('click', () => this.#choose(!this.#isOpen));
    findButton(page, 'chat-close').addEventListener('click', () => this.#choose(false));
    find(page, '.side', HTMLElement).addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !event.isComposing) this.#choose(false);
    });
    const wide = matchMedia(WIDE);
    wide.addEventListener('change', () => this.#chosen || this.#set(wide.matches), { signal });
    this.#set(wide.matches);
  }

  get #toggle() {
    return findButton(this.#page, 'chat-toggle');
  }

  get #isOpen() {
    return this.#page.hasAttribute('data-chat');
  }

  /** A message of somebody else was added to the log. @param {string} sender */
  arrived(sender) {
    if (this.#isOpen) return; // The log says it.
    this.#count(this.#unread + 1);
    write(this.#page, '.chat-news', `${isolate(sender)} has written something.`);
  }

  /** @param {boolean} open */
  #set(open) {
    this.#page.toggleAttribute('data-chat', open);
    this.#toggle.setAttribute('aria-expanded', String(open));
    this.#count(open ? 0 : this.#unread);
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

  /** @param {number} unread */
  #count(unread) {
    this.#unread = unread;
    write(this.#toggle, '.unread', unread === 0 ? '' : unread > 99 ? '99+' : String(unread));
    if (unread === 0) write(this.#page, '.chat-news', '');
  }
}
