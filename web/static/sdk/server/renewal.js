// @ts-check
import { backoff, pause } from './backoff.js';
import { ticketFrom } from './signin.js';

/**
 * @import { ClientOptions } from '../options.js'
 * @import { Refreshed } from './messages.js'
 */

/** The part of a session's life after which it asks for a new ticket. */
const PART = 0.75;
/** The longest time that setTimeout can wait for. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/**
 * Keeps a session that must end alive: in good time it gets a new ticket from the app, and refreshes the session with that.
 * If that fails, it tries again until the session ends; then a new session begins.
 */
export class Renewal {
  #options;
  #name;
  #refresh;
  #isLate;
  /** Ends the wait for the present end. */
  #waiting = new AbortController();

  /**
   * @param {ClientOptions} options
   * @param {() => string} name returns our name at this moment
   * @param {(ticket: string) => Promise<Refreshed>} refresh sends the ticket; the answer sets the next end, by `ends`
   * @param {(seconds: number) => void} isLate called if the app gives no tickets, when the session should be refreshed
   */
  constructor(options, name, refresh, isLate) {
    this.#options = options;
    this.#name = name;
    this.#refresh = refresh;
    this.#isLate = isLate;
  }

  /** The session ends in so many seconds; undefined: never. @param {number | undefined} seconds */
  ends(seconds) {
    this.stop();
    if (seconds !== undefined) this.#keep(seconds * 1000, this.#waiting.signal);
  }

  stop() {
    this.#waiting.abort();
    this.#waiting = new AbortController();
  }

  /**
   * @param {number} ms
   * @param {AbortSignal} signal
   */
  async #keep(ms, signal) {
    await pause(Math.min(ms * PART, MAX_WAIT_MS), signal);
    if (signal.aborted) return;
    const { getTicket, url } = this.#options;
    if (!getTicket) return this.#isLate(Math.round(ms * (1 - PART) / 1000));
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const ticket = await ticketFrom(() => getTicket({ name: this.#name() || undefined, url, fresh: true, signal }), signal);
        if (signal.aborted) return;
        await this.#refresh(ticket);
        return;
      } catch {
        await pause(backoff(attempt), signal); // The session lives on for a while.
      }
    }
  }
}
