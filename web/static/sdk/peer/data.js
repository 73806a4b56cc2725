// @ts-check
import { TurnpikeError } from '../error.js';
import { Line, transmit } from './line.js';
import { SendQueue } from './queue.js';

/**
 * @typedef {{ data: unknown, topic: string }} Data
 * @typedef {{ fields: { topic: string, data?: unknown, bytes?: string }, size: number }} Packed a copy of the data, or bytes as base64
 */

/** Greatest length of what is sent at once, in UTF-16 units of its JSON or base64. */
export const MAX_DATA = 64 << 10;

const MAX_TOPIC = 64;
const MAX_WAITING = { messages: 1000, characters: 1 << 20 };
/** So long does data wait for a peer to whom there was no connection yet. */
const CONNECT_MS = 30_000;
/** What may wait in a channel that drops rather than delays. */
const MAX_UNRELIABLE_BYTES = 64 << 10;

/**
 * The data of apps, to one peer and from it: once and in order, like the chat, or at once or never. A sender who is faster
 * than the peer waits.
 *
 *     {type: 'data', line, n, topic, data | bytes}, {type: 'data-ack', line, n}
 *     {type: 'data', topic, data | bytes}                                           on a channel that may lose it
 */
export class PeerData {
  #line = new Line('data', MAX_WAITING);
  /** @type {boolean | undefined} whether the peer takes data; undefined until it has said so */
  #taken;
  #closed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} then the peer counts as one that takes no data, until it says otherwise */
  #connecting;
  /** @type {SendQueue<Packed, boolean>} */
  #queue = new SendQueue(
    () => this.#taken !== undefined && !(this.#taken && this.#line.isFull),
    ({ fields, size }) => !!this.#taken && this.#line.add(fields, size),
  );

  /** @param {boolean} taken the peer has said whether it takes data */
  announced(taken) {
    clearTimeout(this.#connecting);
    this.#taken = taken && !this.#closed;
    this.#queue.drain();
  }

  /** @param {RTCDataChannel} channel that has opened */
  open(channel) {
    this.#line.open(channel);
    this.#queue.follow(channel);
    this.#queue.drain();
  }

  /** The peer has left: what waits does not reach it. */
  close() {
    this.#closed = true;
    this.announced(false);
  }

  /**
   * Resolves once the message is in the buffers, from where it reaches the peer sooner or later, over other connections if
   * need be.
   *
   * @param {Packed} packed
   * @param {AbortSignal} [signal] gives up waiting for room
   * @returns {Promise<boolean>} false if the peer has left, takes no data, or was not connected in time
   */
  send(packed, signal) {
    if (this.#taken === undefined) this.#connecting ??= setTimeout(() => this.announced(false), CONNECT_MS);
    return this.#queue.add(packed, signal);
  }

  /**
   * @param {Packed} packed
   * @param {RTCDataChannel | undefined} channel that loses rather than delays
   * @returns {boolean} whether it was sent
   */
  sendUnreliably(packed, channel) {
    if (!this.#taken || channel?.readyState !== 'open' || channel.bufferedAmount > MAX_UNRELIABLE_BYTES) return false;
    return transmit(channel, { type: 'data', ...packed.fields });
  }

  /**
   * @param {any} message of the types above; its fields may be anything, since they come from the peer
   * @param {RTCDataChannel} channel that it came on
   * @returns {Data | undefined} undefined if there is nothing new
   */
  receive(message, channel) {
    if (message.type === 'data') return this.#line.isNew(message, channel) ? unpack(message) : undefined;
    this.#line.acknowledged(message);
    this.#queue.drain();
    return undefined;
  }
}

/**
 * @param {unknown} data JSON, or bytes
 * @param {unknown} topic
 * @returns {Packed}
 * @throws {TypeError} if it is neither
 * @throws {TurnpikeError} `too-long`
 */
export function pack(data, topic = '') {
  if (typeof topic !== 'string' || topic.length > MAX_TOPIC) throw new TypeError(`A topic is a string of at most ${MAX_TOPIC} characters.`);
  const isBytes = data instanceof Uint8Array || data instanceof ArrayBuffer;
  const text = isBytes ? toBase64(new Uint8Array(data)) : JSON.stringify(data);
  if (text === undefined) throw new TypeError(`send takes what JSON can say, or bytes, not ${typeof data}.`);
  if (text.length > MAX_DATA) {
    throw new TurnpikeError('too-long', `${text.length} characters are too many: ${MAX_DATA} may be. Use openChannel.`);
  }
  return { fields: isBytes ? { topic, bytes: text } : { topic, data: JSON.parse(text) }, size: text.length };
}

/** @param {any} message @returns {Data | undefined} */
function unpack({ data, bytes, topic }) {
  try {
    const name = typeof topic === 'string' ? topic.slice(0, MAX_TOPIC) : '';
    if (typeof bytes === 'string') return { data: fromBase64(bytes), topic: name };
    return data === undefined ? undefined : { data, topic: name };
  } catch {
    return undefined; // That was no base64.
  }
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 1 << 13) text += String.fromCharCode(...bytes.subarray(at, at + (1 << 13)));
  return btoa(text);
}

/** @param {string} text */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
