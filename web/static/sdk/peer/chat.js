// @ts-check
import { TurnpikeError } from '../error.js';
import { Line } from './line.js';

/**
 * @import { SavedLine } from './line.js'
 *
 * @typedef {{ text: string, at: Date }} ChatMessage
 * @typedef {SavedLine} SavedChat for a reload
 */

/** Greatest length of a chat message, in UTF-16 units. */
export const MAX_TEXT = 4000;

const MAX_WAITING = 100;

/**
 * The chat with one peer: every message once and in order, over as many data channels as it takes.
 *
 *     {type: 'chat', line, n, text, at}, {type: 'chat-ack', line, n}
 */
export class PeerChat {
  #line;

  /** @param {SavedChat} [saved] by the page before this one */
  constructor(saved) {
    this.#line = new Line('chat', { messages: MAX_WAITING, characters: MAX_WAITING * MAX_TEXT }, saved);
  }

  get saved() {
    return this.#line.saved;
  }

  /**
   * Sends a message now, or as soon as a channel opens.
   *
   * @param {ChatMessage} message
   * @throws {TurnpikeError} `slow` if too many messages wait already
   */
  send({ text, at }) {
    if (this.#line.isFull || !this.#line.send({ text, at: at.toISOString() }, text.length)) {
      throw new TurnpikeError('slow', 'The peer does not receive.');
    }
  }

  /** Sends the messages that wait, on a channel that has opened. @param {RTCDataChannel} channel */
  open(channel) {
    this.#line.open(channel);
  }

  /**
   * @param {any} message of the types above; its fields may be anything, since they come from the peer
   * @param {RTCDataChannel} channel that it came on
   * @returns {ChatMessage | undefined} undefined if there is nothing to show
   */
  receive(message, channel) {
    if (message.type === 'chat-ack') return void this.#line.acknowledged(message);
    const isNew = this.#line.receive(message, channel);
    if (typeof message.text !== 'string' || !isNew) return undefined;
    return chatIn(message);
  }
}

/**
 * @param {unknown} text
 * @returns {ChatMessage} of this moment
 * @throws {TypeError} if it is no text
 * @throws {TurnpikeError} `too-long`
 */
export function chatMessage(text) {
  if (typeof text !== 'string') throw new TypeError('sendMessage takes a string; send takes data.');
  if (text.length > MAX_TEXT) throw new TurnpikeError('too-long', `A message may have ${MAX_TEXT} characters.`);
  return { text, at: new Date() };
}

/**
 * @param {{ text: string, at?: unknown }} message from a peer
 * @returns {ChatMessage}
 */
export function chatIn(message) {
  const at = new Date(String(message.at));
  return { text: message.text.slice(0, MAX_TEXT), at: Number.isNaN(at.getTime()) ? new Date() : at };
}
