// @ts-check
import { fill, find, findButton, write } from '../../dom.js';
import { MAX_TEXT } from '../../sdk/peer/chat.js';
import { claimChat, storeChat } from '../../storage.js';
import { say, several } from '../../words/room.js';
import { dayWords, isSameDay, isSameMinute } from './days.js';
import { NOBODY, drawFate } from './fate.js';
import { drawMessage } from './message.js';
import { Sight } from './sight.js';

/**
 * @import { Reach } from './fate.js'
 * @import { ShownMessage } from './message.js'
 *
 * @typedef {object} ChatActions
 * @property {(text: string) => boolean} send returns false if it could not send the text, which then stays
 * @property {(message: ShownMessage) => void} again sends a message of ours to those who lack it
 * @property {(messages: ShownMessage[]) => void} seen messages of others came into sight
 * @property {(count: number) => void} unread so many messages of others were not in sight
 */

/** Within this many pixels of its end, the log follows the newest message. */
const NEAR_END = 80;
const MAX_SHOWN = 1000;

/** The messages of a room, and the field to write one. */
export class ChatPanel extends HTMLElement {
  /** @type {ShownMessage[]} oldest first */
  messages = [];
  /** @type {Map<ShownMessage, HTMLElement>} */
  #items = new Map();
  /** @type {WeakMap<Element, ShownMessage>} */
  #messageOf = new WeakMap();
  /** @type {Set<ShownMessage>} */
  #unread = new Set();
  /** @type {Map<HTMLElement, Date>} the lines that name a day */
  #days = new Map();
  /** Before the first message that was not in sight when it came. */
  #newLine = line('new', '');
  /** The reader is at the end of the log, and not at what was said before. */
  #follows = true;
  /** Somebody would read what we send. */
  #hasReaders = false;
  /** @type {ChatActions} */
  #actions = { send: () => false, again: () => {}, seen: () => {}, unread: () => {} };
  /** @type {Reach} */
  #reach = NOBODY;
  /** @type {Sight | undefined} */
  #sight;

  /**
   * @param {ChatActions} actions
   * @param {AbortSignal} signal aborts when the page ends
   */
  watch(actions, signal) {
    this.#actions = actions;
    fill(this, 'chat');
    this.#newLine.textContent = say('chat.new');
    const form = find(this, 'form', HTMLFormElement);
    const input = this.#input;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text === '' || this.#button.disabled) return;
      if (actions.send(text)) input.value = '';
      input.focus();
    });
    input.addEventListener('input', () => this.#check());
    input.addEventListener('keydown', (event) => {
      // Safari says 229 of the Enter that ends a composition, after which nothing is composed any more.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.#sight = new Sight(this.#log, (items) => this.#wereSeen(items), signal);
    findButton(this, 'chat-jump').addEventListener('click', () => {
      toEnd(this.#log);
      this.#log.focus(); // The button goes.
    });
    this.setReaders(0, []);
    this.#followWhenResized();
  }

  /** Keeps the newest message in sight when the log becomes lower, as with the keyboard of a phone. */
  #followWhenResized() {
    const log = this.#log;
    const size = () => `${log.clientWidth} x ${log.clientHeight}`;
    let before = size();
    log.addEventListener('scroll', () => {
      // Where the log has another size, the browser has moved it, and not the reader.
      if (log.clientHeight > 0 && size() === before) this.#setFollows(isNearEnd(log));
    });
    new ResizeObserver(() => {
      before = size();
      if (this.#follows) toEnd(log);
    }).observe(log);
  }

  /** @param {boolean} follows */
  #setFollows(follows) {
    this.#follows = follows;
    this.#showJump();
  }

  #showJump() {
    const button = findButton(this, 'chat-jump');
    button.hidden = this.#follows;
    const count = this.#unread.size;
    write(button, 'span', count > 0 ? say('chat.jump', { count }) : say('chat.jump.end'));
  }

  /**
   * @param {number} count how many others would read a message now
   * @param {string[]} away names of those who would read it when they are back
   */
  setReaders(count, away) {
    this.#hasReaders = count + away.length > 0;
    this.#input.placeholder = count > 0 ? say('chat.placeholder') : this.#hasReaders ? say('chat.placeholder.away', { names: several(away) }) : say('chat.placeholder.nobody');
    this.#check();
  }

  /** What has been written stays in the field for as long as it cannot be sent. */
  #check() {
    const count = this.#input.value.trim().length - MAX_TEXT;
    write(this, '.field-error', count > 0 ? say('chat.too-long', { count }) : '');
    this.#button.disabled = count > 0 || !this.#hasReaders;
  }

  /** @param {Reach} reach is asked again whenever states are drawn */
  setReach(reach) {
    this.#reach = reach;
  }

  /** Shows what has become of messages of ours. @param {Iterable<ShownMessage>} [messages] default: all that lack a reader */
  drawFates(messages = this.messages) {
    const newest = this.#newestOwn();
    for (const message of messages) {
      const item = this.#items.get(message);
      if (!message.to || !item) continue;
      drawFate(item, message.to, { ...this.#reach, isNewest: message === newest, again: () => this.#actions.again(message) });
    }
    if (this.#follows) toEnd(this.#log);
  }

  #newestOwn() {
    for (let place = this.messages.length - 1; place >= 0; place--) {
      if (this.messages[place]?.own) return this.messages[place];
    }
    return undefined;
  }

  /** The chat was opened: nothing counts as unread any more, and the first message that did is in sight. */
  opened() {
    const log = this.#log;
    toEnd(log);
    const above = this.#newLine.isConnected ? log.getBoundingClientRect().top - this.#newLine.getBoundingClientRect().top : 0;
    if (above > 0) log.scrollTop -= above;
    this.#unread.clear();
    this.#setFollows(isNearEnd(log));
    this.#actions.unread(0);
  }

  /** The chat was closed. */
  closed() {
    if (this.#unread.size === 0) this.#newLine.remove();
  }

  /** @param {Element[]} items */
  #wereSeen(items) {
    const messages = items.flatMap((item) => this.#messageOf.get(item) ?? []);
    for (const message of messages) {
      message.seen = true;
      this.#unread.delete(message);
    }
    this.#showJump();
    this.#actions.unread(this.#unread.size);
    this.#actions.seen(messages);
  }

  /**
   * Shows what the page before this one stored: messages, their states, and what was not sent yet.
   *
   * @param {string} room
   * @returns {boolean} whether that page was in this room
   */
  restore(room) {
    const stored = claimChat(room);
    for (const { at, unread, ...message } of stored?.messages ?? []) this.#add({ ...message, at: new Date(at) }, unread === true);
    this.#input.value = stored?.draft ?? '';
    this.#check();
    this.drawFates();
    return stored !== undefined;
  }

  /** Stores all of this for the page after this one. @param {string} room */
  store(room) {
    const messages = this.messages.map((message) => ({ ...message, at: message.at.toISOString(), unread: this.#unread.has(message) || undefined }));
    storeChat(room, { messages, draft: this.#input.value });
  }

  /** @param {ShownMessage} message */
  showMessage(message) {
    const log = this.#log;
    const isRead = message.own || (log.clientHeight > 0 && this.#follows && document.visibilityState === 'visible');
    const former = message.own ? this.#newestOwn() : undefined;
    if (message.own) this.#newLine.remove();
    this.#add(message, !isRead);
    if (message.own) this.drawFates(former ? [former, message] : [message]);
  }

  /**
   * @param {ShownMessage} message
   * @param {boolean} isUnread
   */
  #add(message, isUnread) {
    const log = this.#log;
    this.#addDay(message.at);
    if (isUnread && this.#unread.size === 0) log.append(this.#newLine);
    const above = log.lastElementChild && this.#messageOf.get(log.lastElementChild);
    const goesOn = !!above && above.own === message.own && above.user === message.user && above.sender === message.sender && isSameMinute(above.at, message.at);
    const item = drawMessage(message, goesOn);
    this.messages.push(message);
    this.#items.set(message, item);
    this.#messageOf.set(item, message);
    if (isUnread) this.#unread.add(message);
    this.#append(item, message.own);
    if (!message.own && !message.seen) this.#sight?.watch(item);
    this.#showJump();
    if (isUnread) this.#actions.unread(this.#unread.size);
  }

  /** @param {string} text about an event, such as the arrival of somebody */
  showEvent(text) {
    this.#append(line('event', text), false);
  }

  /** Begins another day, and gives those before it their names of today. @param {Date} at of the next message */
  #addDay(at) {
    const latest = [...this.#days.values()].at(-1);
    if (!latest || !isSameDay(latest, at)) {
      const item = line('day', '');
      this.#days.set(item, at);
      this.#append(item, false);
    }
    const now = new Date();
    for (const [item, day] of this.#days) {
      item.textContent = dayWords(day, now);
      item.hidden = this.#days.size === 1 && isSameDay(day, now); // A log of today alone needs no date.
    }
  }

  /**
   * @param {HTMLElement} item
   * @param {boolean} follow
   */
  #append(item, follow) {
    const log = this.#log;
    log.append(item);
    while (log.childElementCount > MAX_SHOWN && log.firstElementChild instanceof HTMLElement) this.#remove(log.firstElementChild);
    if (this.#follows || follow) toEnd(log);
  }

  /** @param {HTMLElement} item the oldest */
  #remove(item) {
    item.remove();
    this.#days.delete(item);
    const message = this.#messageOf.get(item);
    if (!message) return;
    this.messages.shift();
    this.#items.delete(message);
    this.#unread.delete(message);
    this.#sight?.forget(item);
  }

  get #log() {
    return find(this, '[role=log]', HTMLElement);
  }

  get #input() {
    return find(this, 'textarea', HTMLTextAreaElement);
  }

  get #button() {
    return findButton(this, 'chat-send');
  }
}

/**
 * @param {string} kind
 * @param {string} text
 */
function line(kind, text) {
  const item = document.createElement('div');
  item.className = kind;
  item.textContent = text;
  return item;
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
