// @ts-check
import { TurnpikeError } from '../error.js';

/**
 * @typedef {object} Wait
 * @property {Promise<void>} admitted resolves when we are in the room
 * @property {() => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** @type {Record<string, [code: string, message: string]>} by the reason of `left`; any other reason is its own code */
const ERRORS = {
  closed: ['not-existing', 'The room closed before anybody let us in.'],
  refused: ['refused', 'We were not let in.'],
};

/** The rooms with a waiting room in which we wait to be let in. */
export class Admissions {
  /** @type {Map<string, Wait>} by room */
  #waits = new Map();

  get rooms() {
    return [...this.#waits.keys()];
  }

  /** @param {string} room */
  has(room) {
    return this.#waits.has(room);
  }

  /** The server says that we wait. After a lost connection it may say so again. @param {string} room */
  begin(room) {
    if (this.#waits.has(room)) return;
    const wait = /** @type {Wait} */ ({});
    wait.admitted = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    wait.admitted.catch(() => {}); // The app may have given up.
    this.#waits.set(room, wait);
  }

  /** Resolves when we are let in, or at once if we do not wait. @param {string} room */
  async until(room) {
    await this.#waits.get(room)?.admitted;
  }

  /** @param {string} room */
  admitted(room) {
    const wait = this.#waits.get(room);
    this.#waits.delete(room);
    wait?.resolve();
  }

  /**
   * @param {string} room
   * @param {string} reason of `left`
   */
  left(room, reason) {
    const [code, message] = ERRORS[reason] ?? [reason, undefined];
    this.failed(room, new TurnpikeError(code, message));
  }

  /**
   * @param {string} room
   * @param {unknown} error
   */
  failed(room, error) {
    const wait = this.#waits.get(room);
    this.#waits.delete(room);
    wait?.reject(error);
  }
}
