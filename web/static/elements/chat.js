// @ts-check
import { fill, find, write } from '../dom.js';

/** @typedef {{ sender: string, text: string, at: Date, own: boolean }} ChatMessage */

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
/** A reader within this many pixels of the end follows the newest message. */
const NEAR_END = 80;
const MAX_SHOWN = 1000;

/** What is said in the room, and the field to say something. */
export class Chat extends HTMLElement {
  /** @type {ChatMessage[]} */
  #said = [];

  /** What was said, oldest first. */
  get said() {
    return [...this.#said];
  }

  /** @param {(text: string) => boolean} send false if it could not be sent; the text stays then */
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

  /** @param {number} count how many others would read what is sent */
  setListeners(count) {
    this.#button.disabled = count === 0;
    this.#input.placeholder = count === 0 ? 'Nobody is here to read yet' : 'Write to everyone here';
  }

  /** @param {ChatMessage} message */
  say(message) {
    const { sender, text, at, own } = message;
    this.#said.push(message);
    if (this.#said.length > MAX_SHOWN) this.#said.shift();
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

  /** @param {string} text what happened, such as who came */
  tell(text) {
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

customElements.define('tp-chat', Chat);
