// @ts-check

/** Well within what the server takes (see Limits in signal/PROTOCOL.md), as a network may let messages wait and bring them all at once. */
const AT_ONCE = 100;
const PER_SECOND = 30;

/** How much may be sent at this moment. The server refuses what is too much, and in the end the client. */
export class Pace {
  #left = AT_ONCE;
  #counted = performance.now();

  /** @returns {boolean} whether one more message may be sent now */
  take() {
    const now = performance.now();
    this.#left = Math.min(AT_ONCE, this.#left + ((now - this.#counted) / 1000) * PER_SECOND);
    this.#counted = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
