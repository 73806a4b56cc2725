// @ts-check

/** The server keeps what is not acknowledged; it is told at least this often. */
const MAX_UNTOLD = 32;
const MAX_UNTOLD_LENGTH = 64 << 10;

/**
 * How far the server's numbered messages have been read: each counts once, and none is left out. It outlives connections.
 */
export class Inbox {
  #told;
  #untoldLength = 0;

  /** @param {number} received the number of the last message that was handled, 0 if none; the server knows, or is told by `hello` */
  constructor(received = 0) {
    this.received = received;
    this.#told = received;
  }

  /**
   * @param {number | undefined} seq of a message; what has none is not part of the stream
   * @param {number} length of the message
   * @returns {'next' | 'known' | 'gap'} what the message is: to be handled, a repetition, or proof that some were lost
   */
  take(seq, length) {
    if (seq === undefined) return 'next';
    if (seq <= this.received) return 'known';
    if (seq !== this.received + 1) return 'gap';
    this.received = seq;
    this.#untoldLength += length;
    return 'next';
  }

  /** Whether the server waits to be told, with no other message to say it in. */
  get isDue() {
    return this.received - this.#told >= MAX_UNTOLD || this.#untoldLength >= MAX_UNTOLD_LENGTH;
  }

  /** @returns {number | undefined} `received` for a message that is about to be sent; undefined if the server knows */
  tell() {
    if (this.#told === this.received) return undefined;
    this.#told = this.received;
    this.#untoldLength = 0;
    return this.received;
  }
}
