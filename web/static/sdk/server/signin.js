// @ts-check
import { codeOf, isPassing } from '../error.js';

/**
 * @import { ClientOptions } from '../options.js'
 * @import { ServerSocket } from './socket.js'
 * @import { Resume } from './messages.js'
 */

const WELCOME_TIMEOUT_MS = 15_000;
const MAX_TRIES = 20;

/** Signs in on a socket: resumes the former session, or presents a ticket under a name that nobody else has. */
export class SignIn {
  #options;
  /** The server refused the last ticket, or the name that it is for. */
  #refused = false;

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    this.name = options.name ?? '';
  }

  /** The server closed a socket because of its ticket. */
  refused() {
    this.#refused = true;
  }

  /**
   * Resolves with a socket on which the server has answered `hello` with `welcome`.
   *
   * @param {() => Promise<ServerSocket>} connect
   * @param {Resume | undefined} resume
   * @param {AbortSignal} signal
   */
  async enter(connect, resume, signal) {
    /** @type {ServerSocket | undefined} */
    let socket;
    /** @type {string | undefined} goes on to admit us when only its name was taken: an invite may give no other */
    let ticket;
    for (let tries = 1; ; tries++) {
      const isSecondName = ticket !== undefined;
      try {
        const credentials = resume ? { resume } : { ticket: (ticket ??= await this.#ticket(signal)), name: this.name || undefined };
        if (!socket?.isOpen) socket = await connect();
        await socket.ask({ type: 'hello', ...credentials }, WELCOME_TIMEOUT_MS, signal);
        this.#refused = false;
        return socket;
      } catch (error) {
        if (!signal.aborted && resume && !isPassing(error)) {
          resume = undefined; // The session is over, or cannot go on: somebody else has its name, for example.
          continue;
        }
        if (codeOf(error) !== 'name-taken' || isSecondName) ticket = undefined;
        if (!signal.aborted && tries < MAX_TRIES && this.#mayTryAgain(error)) continue;
        socket?.drop();
        throw error;
      }
    }
  }

  /** @param {AbortSignal} signal */
  async #ticket(signal) {
    const { ticket, getTicket, url } = this.#options;
    if (!getTicket) return ticket ?? '';
    const answer = await getTicket({ name: this.name || undefined, url, fresh: this.#refused, signal });
    return typeof answer === 'string' ? answer : answer.ticket;
  }

  /** @param {unknown} error */
  #mayTryAgain(error) {
    if (codeOf(error) === 'name-taken') {
      const other = this.#options.onNameTaken?.(this.name);
      if (!other) return false;
      this.name = other;
      this.#refused = true; // A stored ticket is for the old name, and may be good only with that.
      return true;
    }
    if (codeOf(error) !== 'unauthorized') return false;
    const again = !!this.#options.getTicket && !this.#refused;
    this.#refused = true;
    return again;
  }
}
