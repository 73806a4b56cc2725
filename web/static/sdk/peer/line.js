// @ts-check
import { MAX_BUFFERED_BYTES } from './queue.js';

/**
 * @typedef {{ n: number } & Record<string, unknown>} Numbered
 *
 * @typedef {object} SavedLine for a reload
 * @property {string} line the id of our own line
 * @property {number} sent the number of our last message
 * @property {Numbered[]} waiting not yet acknowledged
 * @property {string} from the id of the peer's line
 * @property {number} received the number of the peer's last message
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
  /** Characters that wait. */
  #size = 0;
  /** Characters of each message that waits. */
  #sizes;
  /** @type {SavedLine} what a reload keeps */
  saved;

  /**
   * @param {string} type of the messages
   * @param {{ messages: number, characters: number }} limit of what waits for the peer
   * @param {SavedLine} [saved] by the page before this one
   */
  constructor(type, limit, saved = { line: crypto.getRandomValues(new Uint32Array(3)).join(), sent: 0, waiting: [], from: '', received: 0 }) {
    this.#type = type;
    this.#limit = limit;
    this.saved = saved;
    this.#sizes = saved.waiting.map(() => 0);
  }

  /** Whether too much waits for the peer already. */
  get isFull() {
    return this.saved.waiting.length >= this.#limit.messages || this.#size >= this.#limit.characters
      || (this.#channel?.bufferedAmount ?? 0) > MAX_BUFFERED_BYTES;
  }

  /**
   * Sends a message now, or as soon as a channel opens.
   *
   * @param {Record<string, unknown>} fields
   * @param {number} size in characters
   * @returns {boolean} false if the channel refuses it
   */
  add(fields, size) {
    const message = { n: ++this.saved.sent, ...fields };
    if (!this.#transmit(message)) return false;
    this.saved.waiting.push(message);
    this.#sizes.push(size);
    this.#size += size;
    return true;
  }

  /** Sends the messages that wait, on a channel that has opened. @param {RTCDataChannel} channel */
  open(channel) {
    this.#channel = channel;
    this.saved.waiting.every((message) => this.#transmit(message));
  }

  /**
   * @param {any} message of type TYPE-ack, whose fields may be anything
   * @returns {Numbered[]} the messages that the peer has now, and of which we did not know it
   */
  acknowledged({ line, n }) {
    const arrived = this.saved.waiting.filter((message) => line === this.saved.line && message.n <= n);
    for (const size of this.#sizes.splice(0, arrived.length)) this.#size -= size;
    return this.saved.waiting.splice(0, arrived.length);
  }

  /**
   * Acknowledges a message. Whatever has a number is acknowledged, even if nobody can make sense of it: else it would wait
   * at the sender for ever.
   *
   * @param {any} message whose fields may be anything, since they come from the peer
   * @param {RTCDataChannel} channel that it came on
   * @returns {boolean} whether it is new
   */
  isNew({ line, n }, channel) {
    if (typeof line !== 'string' || line.length > MAX_ID || !Number.isSafeInteger(n)) return true;
    const { saved } = this;
    const former = line === saved.from ? saved.received : 0;
    saved.from = line;
    saved.received = Math.max(n, former);
    // A peer who sends and does not read gets no more of them.
    if (channel.bufferedAmount < 4 * MAX_BUFFERED_BYTES) transmit(channel, { type: `${this.#type}-ack`, line, n: saved.received });
    return n > former;
  }

  /** @param {Numbered} message */
  #transmit(message) {
    return transmit(this.#channel, { type: this.#type, line: this.saved.line, ...message });
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
