// @ts-check

/** The server keeps every message that is not acknowledged. The client acknowledges at least this often. */
const MAX_UNACKED = 32;
const MAX_UNACKED_LENGTH = 64 << 10;

/** How far the server's numbered messages have been read: each counts once, and none is left out. It outlives sockets. */
export class Inbox {
  #acked;
  #unackedLength = 0;

  /**
   * @param {number} received the number of the last message that was handled, 0 if none. The server has it already, or
   *   gets it in `hello`.
   */
  constructor(received = 0) {
    this.received = received;
    this.#acked = received;
  }

  /**
   * @param {number | undefined} seq of a message; a message without one is not part of the stream
   * @param {number} length of the message
   * @returns {'next' | 'known' | 'gap'} next: handle it; known: it came before; gap: messages before it were lost
   */
  receive(seq, length) {
    if (seq === undefined) return 'next';
    if (seq <= this.received) return 'known';
    if (seq !== this.received + 1) return 'gap';
    this.received = seq;
    this.#unackedLength += length;
    return 'next';
  }

  /** Whether an acknowledgement is due now, even if no other message can carry it. */
  get isAckDue() {
    return this.received - this.#acked >= MAX_UNACKED || this.#unackedLength >= MAX_UNACKED_LENGTH;
  }

  /** @returns {number | undefined} `received` for a message that is about to be sent; undefined if the server has it */
  nextAck() {
    if (this.#acked === this.received) return undefined;
    this.#acked = this.received;
    this.#unackedLength = 0;
    return this.received;
  }
}
