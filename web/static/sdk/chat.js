// @ts-check
import { TurnpikeError } from './error.js';

/**
 * @typedef {{ text: string, at: Date }} ChatMessage
 * @typedef {{ line: string, sent: number, waiting: Numbered[], from: string, received: number }} KeptChat for a reload
 * @typedef {{ n: number, text: string, at: string }} Numbered
 */

/** Greatest length of a chat message, in UTF-16 units. */
export const MAX_TEXT = 4000;

const MAX_WAITING = 100;
const MAX_BUFFERED_BYTES = 1 << 20;

/**
 * What is said to one peer and by it: every message once and in order, over as many data channels as it takes. A channel
 * that is lost may or may not have delivered what was sent on it. So messages are numbered, kept until the peer
 * acknowledges them, and sent again on the next channel; the peer knows by the number what it has had.
 *
 *     {type: 'chat', line, n, text, at}     line: a name made up by the sender for the whole of what it says to this peer
 *     {type: 'chat-ack', line, n}           everything up to n has arrived
 */
export class Chat {
  /** @type {RTCDataChannel | undefined} */
  #channel;
  #line;
  #sent;
  /** @type {Numbered[]} not yet acknowledged */
  #waiting;
  #from;
  #received;

  /** @param {KeptChat} [kept] what a former page had said and heard */
  constructor(kept) {
    this.#line = kept?.line ?? madeUp();
    this.#sent = kept?.sent ?? 0;
    this.#waiting = kept?.waiting ?? [];
    this.#from = kept?.from ?? '';
    this.#received = kept?.received ?? 0;
  }

  /** @returns {KeptChat} */
  get kept() {
    return { line: this.#line, sent: this.#sent, waiting: this.#waiting, from: this.#from, received: this.#received };
  }

  /**
   * Sends, at once or as soon as there is a channel.
   *
   * @param {ChatMessage} message
   * @throws {TurnpikeError} `slow` if too much waits already
   */
  send({ text, at }) {
    if (this.#waiting.length >= MAX_WAITING || (this.#channel?.bufferedAmount ?? 0) > MAX_BUFFERED_BYTES) {
      throw new TurnpikeError('slow', 'The peer does not receive.');
    }
    const message = { n: ++this.#sent, text, at: at.toISOString() };
    this.#waiting.push(message);
    this.#transmit(message);
  }

  /** Goes on over a channel that has opened. @param {RTCDataChannel} channel */
  open(channel) {
    this.#channel = channel;
    for (const message of this.#waiting) this.#transmit(message);
  }

  /**
   * @param {any} message of the types above, from the peer, so its fields may be anything
   * @param {RTCDataChannel} channel that it came by
   * @returns {ChatMessage | undefined} undefined if it is nothing to show
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

function madeUp() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
