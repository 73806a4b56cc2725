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

/** What may wait for a peer. */
export const MAX_WAITING = { messages: 100, characters: Infinity };

/**
 * The chat with one peer: every message once and in order, over as many data channels as it takes.
 *
 *     {type: 'chat', line, n, text, at}, {type: 'chat-ack', line, n}
 */
export class PeerChat extends Line {
  /** @param {SavedChat} [saved] by the page before this one */
  constructor(saved) {
    super('chat', MAX_WAITING, saved);
  }

  /**
   * Sends a message now, or as soon as a channel opens.
   *
   * @param {ChatMessage} message
   * @returns {boolean} false if too many messages wait already
   */
  send({ text, at }) {
    return !this.isFull && this.add({ text, at: at.toISOString() }, text.length);
  }

  /**
   * @param {any} message of type chat; its fields may be anything, since they come from the peer
   * @param {RTCDataChannel} channel that it came on
   * @returns {ChatMessage | undefined} undefined if there is nothing to show
   */
  receive(message, channel) {
    return this.isNew(message, channel) && typeof message.text === 'string' ? chatIn(message) : undefined;
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
 * @param {any} message from a peer, or a copy of one to it, whose text is a string
 * @returns {ChatMessage}
 */
export function chatIn(message) {
  const at = new Date(message.at);
  return { text: message.text.slice(0, MAX_TEXT), at: at.getTime() ? at : new Date() };
}

/** What waits for the peer is too much already. */
export function slow() {
  return new TurnpikeError('slow', 'The peer does not receive.');
}
