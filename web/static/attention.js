// @ts-check
import { prepareSound } from './sound.js';

/**
 * @typedef {object} Event that somebody may miss who looks elsewhere
 * @property {string} title in the title of the page and of the notification
 * @property {string} [text]
 * @property {'ring' | 'knock'} sound
 */

const NAME = 'turnpike';
const ICON = '/favicon.svg';

/** Calls for the user: by the title of the page, a sound, and a notification of the system if the page is out of sight. */
export class Attention {
  #heading = '';
  /** Messages that were not in sight. */
  #unread = 0;
  /** What is going on, oldest first. @type {Set<Event>} */
  #events = new Set();

  constructor() {
    prepareSound();
  }

  /** Whether the user may still be asked for notifications: neither allowed nor refused so far. */
  get mayAsk() {
    return typeof Notification === 'function' && Notification.permission === 'default';
  }

  /** Must be called because the user has pressed something that says so. Browsers ignore or punish other questions. */
  async ask() {
    if (this.mayAsk) await Notification.requestPermission();
  }

  /** @param {string} heading of the view that is shown */
  setHeading(heading) {
    this.#heading = heading;
    this.#write();
  }

  /** @param {number} count of the messages that were not in sight */
  setUnread(count) {
    this.#unread = count;
    this.#write();
  }

  /**
   * Calls for the user until `signal` aborts.
   *
   * @param {Event} event
   * @param {AbortSignal} signal
   */
  call(event, signal) {
    if (signal.aborted) return;
    this.#events.add(event);
    this.#write();
    const note = notify(event);
    /** @type {void | (() => void)} */
    let silence;
    import('./tones.js').then((tones) => {
      if (!signal.aborted) silence = tones[event.sound]();
    }).catch(() => {}); // It is shown all the same.
    if (event.sound === 'ring') navigator.vibrate?.([400, 200, 400, 1600, 400, 200, 400]);
    signal.addEventListener('abort', () => {
      silence?.();
      note?.close();
      this.#events.delete(event);
      this.#write();
    });
  }

  #write() {
    const latest = [...this.#events].at(-1);
    const unread = this.#unread > 0 ? `(${this.#unread > 99 ? '99+' : this.#unread}) ` : '';
    document.title = latest?.title ?? unread + (this.#heading ? `${this.#heading} · ${NAME}` : NAME);
  }
}

/** @param {Event} event */
function notify({ title, text = '' }) {
  const isSeen = !document.hidden && document.hasFocus();
  if (isSeen || typeof Notification !== 'function' || Notification.permission !== 'granted') return undefined;
  try {
    const note = new Notification(title, { body: text, icon: ICON, tag: title });
    note.onclick = () => {
      window.focus();
      note.close();
    };
    return note;
  } catch {
    return undefined; // Phones show notifications of service workers only.
  }
}
