// @ts-check
import { fill, find, write } from '../../dom.js';
import { claimChat, storeChat } from '../../storage.js';

/** @typedef {{ sender: string, text: string, at: Date, own: boolean }} ShownMessage */

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
/** Within this many pixels of its end, the log follows the newest message. */
const NEAR_END = 80;
const MAX_SHOWN = 1000;

/** The messages of a room, and the field to write one. */
export class ChatPanel extends HTMLElement {
  /** @type {ShownMessage[]} oldest first */
  #messages = [];
  /** The reader is at the end of the log, and not at what was said before. */
  #follows = true;

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
    this.#followWhenResized();
  }

  /** Keeps the newest message in sight when the log becomes lower, as with the keyboard of a phone. */
  #followWhenResized() {
    const log = this.#log;
    log.addEventListener('scroll', () => {
      if (log.clientHeight > 0) this.#follows = isNearEnd(log);
    });
    new ResizeObserver(() => this.#follows && toEnd(log)).observe(log);
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
    const item = document.createElement('div');
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
    const item = document.createElement('div');
    item.className = 'event';
    item.textContent = text;
    this.#append(item, false);
  }

  /**
   * @param {HTMLElement} item
   * @param {boolean} follow
   */
  #append(item, follow) {
    const log = this.#log;
    log.append(item);
    if (log.childElementCount > MAX_SHOWN) log.firstElementChild?.remove();
    if (this.#follows || follow) toEnd(log);
  }

  get #log() {
    return find(this, '[role=log]', HTMLElement);
  }

  get #input() {
    return find(this, 'textarea', HTMLTextAreaElement);
  }

  get #button() {
    return find(this, 'button', HTMLButtonElement);
  }
}

/** @param {HTMLElement} log */
function isNearEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
}

/** @param {HTMLElement} log */
function toEnd(log) {
  log.scrollTop = log.scrollHeight;
}

customElements.define('tp-chat', ChatPanel);
