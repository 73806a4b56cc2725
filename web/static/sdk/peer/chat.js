// @ts-check
import { TurnpikeError } from '../error.js';

/**
 * @typedef {{ text: string, at: Date }} ChatMessage
 * @typedef {{ line: string, sent: number, waiting: Numbered[], from: string, received: number }} SavedChat for a reload
 * @typedef {{ n: number, text: string, at: string }} Numbered
 */

/** Greatest length of a chat message, in UTF-16 units. */
export const MAX_TEXT = 4000;

const MAX_WAITING = 100;
const MAX_BUFFERED_BYTES = 1 << 20;

/**
 * The chat with one peer: every message once and in order, over as many data channels as it takes. A channel that is lost
 * may or may not have delivered its messages. So each message has a number, waits until the peer acknowledges it, and is
 * sent again on the next channel. The peer recognizes repetitions by the number.
 *
 *     {type: 'chat', line, n, text, at}     line: a random id, one for all messages of this sender to this peer
 *     {type: 'chat-ack', line, n}           every message up to n has arrived
 */
export class PeerChat {
  /** @type {RTCDataChannel | undefined} */
  #channel;
  /** The id of our own line. */
  #line;
  /** The number of our last message. */
  #sent;
  /** @type {Numbered[]} not yet acknowledged */
  #waiting;
  /** The id of the peer's line. */
  #from;
  /** The number of the peer's last message. */
  #received;

  /** @param {SavedChat} [saved] by the page before this one */
  constructor(saved) {
    this.#line = saved?.line ?? randomId();
    this.#sent = saved?.sent ?? 0;
    this.#waiting = saved?.waiting ?? [];
    this.#from = saved?.from ?? '';
    this.#received = saved?.received ?? 0;
  }

  /** @returns {SavedChat} */
  get saved() {
    return { line: this.#line, sent: this.#sent, waiting: this.#waiting, from: this.#from, received: this.#received };
  }

  /**
   * Sends a message now, or as soon as a channel opens.
   *
   * @param {ChatMessage} message
   * @throws {TurnpikeError} `slow` if too many messages wait already
   */
  send({ text, at }) {
    if (this.#waiting.length >= MAX_WAITING || (this.#channel?.bufferedAmount ?? 0) > MAX_BUFFERED_BYTES) {
      throw new TurnpikeError('slow', 'The peer does not receive.');
    }
    const message = { n: ++this.#sent, text, at: at.toISOString() };
    this.#waiting.push(message);
    this.#transmit(message);
  }

  /** Sends the messages that wait, on a channel that has opened. @param {RTCDataChannel} channel */
  open(channel) {
    this.#channel = channel;
    for (const message of this.#waiting) this.#transmit(message);
  }

  /**
   * @param {any} message of the types above; its fields may be anything, since they come from the peer
   * @param {RTCDataChannel} channel that it came on
   * @returns {ChatMessage | undefined} undefined if there is nothing to show
   */
  receive(message, channel) {
    const { type, line, n, text } = message;
    if (type === 'chat-ack') {
      if (line === this.#line && Number.isSafeInteger(n)) this.#waiting = this.#waiting.filter((waiting) => waiting.n > n);
      return undefined;
    }
    if (typeof text !== 'string') return undefined;
    if (typeof line === 'string' && Number.isSafeInteger(n)) {
      if (line !== this.#from) {
        this.#from = line.slice(0, 64);
        this.#received = 0;
      }
      const isKnown = n <= this.#received;
      this.#received = Math.max(n, this.#received);
      if (channel.readyState === 'open') channel.send(JSON.stringify({ type: 'chat-ack', line, n: this.#received }));
      if (isKnown) return undefined;
    }
    const at = new Date(String(message.at));
    return { text: text.slice(0, MAX_TEXT), at: Number.isNaN(at.getTime()) ? new Date() : at };
  }

  /** @param {Numbered} message */
  #transmit(message) {
    if (this.#channel?.readyState === 'open') this.#channel.send(JSON.stringify({ type: 'chat', line: this.#line, ...message }));
  }
}

function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
