// @ts-check
import { codeOf, isPassing } from './error.js';

/**
 * @import { ClientOptions } from './client.js'
 * @import { Connection } from './connection.js'
 * @import { Resume } from './messages.js'
 */

const WELCOME_TIMEOUT_MS = 15_000;
const MAX_TRIES = 20;

/** Gets a connection welcomed: as the session that was, else by a ticket, under a name that nobody else has. */
export class SignIn {
  #options;
  /** The last ticket was refused, or is for a name that was. */
  #refused = false;

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    this.name = options.name ?? '';
  }

  /** The server ended a connection because of its ticket. */
  refused() {
    this.#refused = true;
  }

  /**
   * Resolves with a connection whose hello has been answered by `welcome`.
   *
   * @param {() => Promise<Connection>} connect
   * @param {Resume | undefined} resume
   * @param {AbortSignal} signal
   */
  async enter(connect, resume, signal) {
    /** @type {Connection | undefined} */
    let connection;
    for (let tries = 1; ; tries++) {
      try {
        const credentials = resume ? { resume } : { ticket: await this.#ticket(signal), name: this.name || undefined };
        if (!connection?.isOpen) connection = await connect();
        await connection.ask({ type: 'hello', ...credentials }, WELCOME_TIMEOUT_MS, signal);
        this.#refused = false;
        return connection;
      } catch (error) {
        if (!signal.aborted && resume && !isPassing(error)) {
          resume = undefined; // It is over, or cannot go on as it was: somebody has its name, for example.
          continue;
        }
        if (!signal.aborted && tries < MAX_TRIES && this.#mayTryAgain(error)) continue;
        connection?.drop();
        throw error;
      }
    }
  }

  /** @param {AbortSignal} signal */
  async #ticket(signal) {
    const { ticket, getTicket } = this.#options;
    if (!getTicket) return ticket ?? '';
    const answer = await getTicket({ name: this.name || undefined, fresh: this.#refused, signal });
    return typeof answer === 'string' ? answer : answer.ticket;
  }

  /** @param {unknown} error */
  #mayTryAgain(error) {
    if (codeOf(error) === 'name-taken') {
      const other = this.#options.onNameTaken?.(this.name);
      if (!other) return false;
      this.name = other;
      this.#refused = true; // A stored ticket is for the old name.
      return true;
    }
    if (codeOf(error) !== 'unauthorized') return false;
    const again = !!this.#options.getTicket && !this.#refused;
    this.#refused = true;
    return again;
  }
}
