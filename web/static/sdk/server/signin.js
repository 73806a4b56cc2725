// @ts-check
import { TurnpikeError, codeOf, isPassing } from '../error.js';

/**
 * @import { ClientOptions } from '../options.js'
 * @import { ServerSocket } from './socket.js'
 * @import { Resume } from './messages.js'
 */

const WELCOME_TIMEOUT_MS = 15_000;
const MAX_TRIES = 20;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

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
        if (!signal.aborted && tries < MAX_TRIES && this.#mayTryAgain(error)) {
          if (codeOf(error) !== 'name-taken' || isSecondName || !this.name) ticket = undefined;
          continue;
        }
        socket?.drop();
        throw error;
      }
    }
  }

  /** @param {AbortSignal} signal */
  async #ticket(signal) {
    const { ticket, getTicket, url } = this.#options;
    if (!getTicket) return ticket ?? '';
    return ticketFrom(() => getTicket({ name: this.name || undefined, url, fresh: this.#refused, signal }), signal);
  }

  /** @param {unknown} error */
  #mayTryAgain(error) {
    if (codeOf(error) === 'name-taken') {
      const other = this.#options.onNameTaken?.(this.name);
      if (other) {
        this.name = other;
        this.#refused = true; // A stored ticket is for the old name, and may be good only with that.
        return true;
      }
      if (this.name) return false; // Else the ticket has made it up, and the next one may have another.
    } else if (codeOf(error) !== 'unauthorized') {
      return false;
    }
    const again = !!this.#options.getTicket && !this.#refused;
    this.#refused = true;
    return again;
  }
}

/**
 * Gets a ticket from the app. Whatever goes wrong there may pass, unless the app says otherwise with a TurnpikeError, such as
 * `unauthorized`.
 *
 * @param {() => Promise<string | { ticket: string }>} ask
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 * @throws {TurnpikeError} `ticket`, or the app's
 */
export async function ticketFrom(ask, signal) {
  /** @type {unknown} */
  let answer;
  try {
    answer = await ask();
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof TurnpikeError) throw cause;
    throw new TurnpikeError('ticket', `getTicket failed: ${cause instanceof Error ? cause.message : cause}`, { cause, hint: '' });
  }
  const ticket = answer && typeof answer === 'object' && 'ticket' in answer ? answer.ticket : answer;
  if (typeof ticket === 'string' && JWT.test(ticket.trim())) return ticket.trim();
  throw new TurnpikeError('ticket', `getTicket returned something that is no JWT: ${JSON.stringify(ticket)?.slice(0, 60)}`);
}
