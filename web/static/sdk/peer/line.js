// @ts-check
import { MAX_BUFFERED_BYTES } from './queue.js';

/**
 * @typedef {{ n: number } & Record<string, unknown>} Numbered
 * @typedef {{ line: string, sent: number, waiting: Numbered[], from: string, received: number }} SavedLine for a reload
 */

const MAX_ID = 64;

/**
 * Messages to one peer and from it, each once and in order, over as many data channels as it takes. A channel that is lost
 * may or may not have delivered its messages. So each message has a number, waits until the peer acknowledges it, and is
 * sent again on the next channel. The peer recognizes repetitions by the number.
 *
 *     {type, line, n, ...}             line: a random id, one for all messages of this sender to this peer
 *     {type: TYPE-ack, line, n}        every message up to n has arrived
 */
export class Line {
  #type;
  #limit;
  /** @type {RTCDataChannel | undefined} */
  #channel;
  /** The id of our own line. */
  #line;
  /** The number of our last message. */
  #sent;
  /** @type {Numbered[]} not yet acknowledged */
  #waiting;
  /** Characters that wait. */
  #size = 0;
  /** @type {WeakMap<Numbered, number>} of those that wait */
  #sizes = new WeakMap();
  /** The id of the peer's line. */
  #from;
  /** The number of the peer's last message. */
  #received;

  /**
   * @param {string} type of the messages
   * @param {{ messages: number, characters: number }} limit of what waits for the peer
   * @param {SavedLine} [saved] by the page before this one
   */
  constructor(type, limit, saved) {
    this.#type = type;
    this.#limit = limit;
    this.#line = saved?.line ?? randomId();
    this.#sent = saved?.sent ?? 0;
    this.#waiting = saved?.waiting ?? [];
    this.#from = saved?.from ?? '';
    this.#received = saved?.received ?? 0;
  }

  /** @returns {SavedLine} */
  get saved() {
    return { line: this.#line, sent: this.#sent, waiting: this.#waiting, from: this.#from, received: this.#received };
  }

  /** Whether too much waits for the peer already. */
  get isFull() {
    return this.#waiting.length >= this.#limit.messages || this.#size >= this.#limit.characters
      || (this.#channel?.bufferedAmount ?? 0) > MAX_BUFFERED_BYTES;
  }

  /**
   * Sends a message now, or as soon as a channel opens.
   *
   * @param {Record<string, unknown>} fields
   * @param {number} size in characters
   * @returns {boolean} false if the channel refuses it
   */
  send(fields, size) {
    const message = { n: ++this.#sent, ...fields };
    if (!this.#transmit(message)) return false;
    this.#waiting.push(message);
    this.#sizes.set(message, size);
    this.#size += size;
    return true;
  }

  /** Sends the messages that wait, on a channel that has opened. @param {RTCDataChannel} channel */
  open(channel) {
    this.#channel = channel;
    this.#waiting.every((message) => this.#transmit(message));
  }

  /** @param {any} message of type TYPE-ack, whose fields may be anything */
  acknowledged({ line, n }) {
    if (line !== this.#line || !Number.isSafeInteger(n)) return;
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.n <= n) this.#size -= this.#sizes.get(waiting) ?? 0;
      return waiting.n > n;
    });
  }

  /**
   * Acknowledges a message. Whatever has a number is acknowledged, even if nobody can make sense of it: else it would wait
   * at the sender for ever.
   *
   * @param {any} message whose fields may be anything, since they come from the peer
   * @param {RTCDataChannel} channel that it came on
   * @returns {boolean} whether it is new
   */
  receive({ line, n }, channel) {
    if (typeof line !== 'string' || line.length > MAX_ID || !Number.isSafeInteger(n)) return true;
    if (line !== this.#from) {
      this.#from = line;
      this.#received = 0;
    }
    const isKnown = n <= this.#received;
    this.#received = Math.max(n, this.#received);
    // A peer who sends and does not read gets no more of them.
    if (channel.bufferedAmount < 4 * MAX_BUFFERED_BYTES) transmit(channel, { type: `${this.#type}-ack`, line, n: this.#received });
    return !isKnown;
  }

  /** @param {Numbered} message */
  #transmit(message) {
    return transmit(this.#channel, { type: this.#type, line: this.#line, ...message });
  }
}

/**
 * Sends a message if the channel is open. The channel throws if the message is longer than the peer says that it takes, or if
 * the buffers are full. That must not stop what we do for other peers.
 *
 * @param {RTCDataChannel | undefined} channel
 * @param {object} message
 * @returns {boolean} false if the open channel refuses it
 */
export function transmit(channel, message) {
  try {
    if (channel?.readyState === 'open') channel.send(JSON.stringify(message));
    return true;
  } catch {
    return false;
  }
}

function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
