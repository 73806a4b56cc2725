// @ts-check
import { fill, find, write } from '../dom.js';
import { claimChat, storeChat } from '../storage.js';

/** @typedef {{ sender: string, text: string, at: Date, own: boolean }} ShownMessage */

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
/** Within this many pixels of its end, the log follows the newest message. */
const NEAR_END = 80;
const MAX_SHOWN = 1000;

/** The messages of a room, and the field to write one. */
export class ChatPanel extends HTMLElement {
  /** @type {ShownMessage[]} oldest first */
  #messages = [];

  /** @param {(text: string) => boolean} send returns false if it could not send the text, which then stays */
  watch(send) {
    fill(this, 'chat');
    const form = find(this, 'form', HTMLFormElement);
    const input = this.#input;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text === '' || this.#button.disabled) return;
      if (send(text)) input.value = '';
      input.focus();
    });
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.setListeners(0);
  }

  /** @param {number} count how many others would read a message */
  setListeners(count) {
    this.#button.disabled = count === 0;
    this.#input.placeholder = count === 0 ? 'Nobody is here to read yet' : 'Write to everyone here';
  }

  /**
   * Shows the messages that the page before this one stored.
   *
   * @param {string} room
   * @returns {boolean} whether that page was in this room
   */
  restore(room) {
    const stored = claimChat(room);
    for (const { at, ...message } of stored ?? []) this.showMessage({ ...message, at: new Date(at) });
    return stored !== undefined;
  }

  /** Stores the messages for the page after this one. @param {string} room */
  store(room) {
    storeChat(room, this.#messages.map(({ at, ...message }) => ({ ...message, at: at.toISOString() })));
  }

  /** @param {ShownMessage} message */
  showMessage(message) {
    const { sender, text, at, own } = message;
    this.#messages.push(message);
    if (this.#messages.length > MAX_SHOWN) this.#messages.shift();
    const item = document.createElement('li');
    item.className = 'message';
    item.toggleAttribute('data-own', own);
    fill(item, 'message');
    write(item, '.sender', sender);
    write(item, '.text', text);
    const time = find(item, 'time', HTMLTimeElement);
    time.dateTime = at.toISOString();
    time.textContent = TIME.format(at);
    this.#append(item, own);
  }

  /** @param {string} text about an event, such as the arrival of somebody */
  showEvent(text) {
    const item = document.createElement('li');
    item.className = 'event';
    item.textContent = text;
    this.#append(item, false);
  }

  /**
   * @param {HTMLLIElement} item
   * @param {boolean} follow
   */
  #append(item, follow) {
    const log = find(this, 'ol', HTMLOListElement);
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
    log.append(item);
    if (log.childElementCount > MAX_SHOWN) log.firstElementChild?.remove();
    if (atEnd || follow) log.scrollTop = log.scrollHeight;
  }

  get #input() {
    return find(this, 'textarea', HTMLTextAreaElement);
  }

  get #button() {
    return find(this, 'button', HTMLButtonElement);
  }
}

customElements.define('tp-chat', ChatPanel);
