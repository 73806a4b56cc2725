// @ts-check
import { TurnpikeError, clientClosed } from './error.js';

/** @import { ClientOptions } from './options.js' */

const TIMEOUT_S = 30;

/** The wait for the first welcome. */
export class Opening {
  /** @type {TurnpikeError | undefined} why the first attempts failed, with advice if there is any */
  #failure;
  /** @type {(value: undefined) => void} */
  #resolve = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};
  #timer;

  /**
   * @param {ClientOptions} options
   * @param {(error: TurnpikeError) => void} late called if there is no welcome in time
   */
  constructor({ timeout = TIMEOUT_S }, late) {
    /** @type {Promise<undefined>} */
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = timeout === Infinity ? undefined : setTimeout(() => late(this.#timeout(timeout)), timeout * 1000);
  }

  /** An attempt has failed. @param {TurnpikeError} cause */
  failed(cause) {
    if (!this.#failure?.hint) this.#failure = cause;
  }

  welcomed() {
    clearTimeout(this.#timer);
    this.#resolve(undefined);
  }

  /** @param {unknown} error */
  ended(error) {
    clearTimeout(this.#timer);
    this.#reject(error ?? clientClosed());
  }

  /** @param {number} seconds */
  #timeout(seconds) {
    const cause = this.#failure;
    return new TurnpikeError('timeout', `The server did not let us in within ${seconds} s${cause ? `: ${cause.message}` : '.'}`, { cause, hint: cause?.hint });
  }
}
