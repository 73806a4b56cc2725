// @ts-check
import { Emitter, emit } from '../emitter.js';
import { TurnpikeError } from '../error.js';

/**
 * @typedef {{ data: any, settle: (error?: unknown) => void }} Waiting for room
 *
 * @typedef {object} PeerChannelEvents
 * @property {null} open data goes through, for the first time or on another connection; what was under way on the one before may be lost
 * @property {unknown} message a string, or an ArrayBuffer
 * @property {null} interrupted nothing goes through until the next `open`
 * @property {null} closed for good: by either side, or the peer has left
 */

/** For the SDK's own use. @type {(channel: PeerChannel) => ChannelControl} */
export let controlOf;

const MAX_BUFFERED_BYTES = 1 << 20;
const LOW_BYTES = 1 << 18;
const MAX_LABEL = 64;

/**
 * A data channel of an app with one peer, known by its label. It outlives connections: each new one gets a data channel of
 * the label. Both sides may open it, in any order.
 *
 * @extends {Emitter<PeerChannelEvents>}
 */
export class PeerChannel extends Emitter {
  #control;

  static {
    controlOf = (channel) => channel.#control;
  }

  /**
   * @param {string} label
   * @param {(label: string) => void} onClose tells the peer that we have closed it
   */
  constructor(label, onClose) {
    super();
    this.label = label;
    this.#control = new ChannelControl(this, onClose);
  }

  /** @returns {'connecting' | 'open' | 'closed'} */
  get state() {
    return this.#control.state;
  }

  /** Bytes that wait to be sent on the present connection. */
  get bufferedAmount() {
    return this.#control.channel?.bufferedAmount ?? 0;
  }

  /**
   * Sends once the channel is open and has room. Messages go in the order of the calls.
   *
   * @param {string | ArrayBuffer | ArrayBufferView<ArrayBuffer>} data
   * @param {{ signal?: AbortSignal | undefined }} [options] `signal` gives up waiting
   * @throws {TurnpikeError} `closed`
   */
  send(data, { signal } = {}) {
    return this.#control.send(data, signal);
  }

  /** Closes the channel for both sides. */
  close() {
    this.#control.close(true);
  }
}

/** What the SDK knows of a PeerChannel, and apps do not. */
class ChannelControl {
  #owner;
  #onClose;
  #closed = false;
  /** @type {RTCDataChannel | undefined} that we have opened on the present connection */
  #ours;
  /** @type {RTCDataChannel | undefined} that the peer has opened on it */
  #theirs;
  /** @type {RTCDataChannelInit | undefined} undefined if the peer alone has opened it so far */
  init;
  /** @type {Waiting[]} */
  #queue = [];

  /**
   * @param {PeerChannel} owner
   * @param {(label: string) => void} onClose
   */
  constructor(owner, onClose) {
    this.#owner = owner;
    this.#onClose = onClose;
  }

  /** That we send on: our own, so that each side's messages keep their order. */
  get channel() {
    return this.#ours ?? this.#theirs;
  }

  get state() {
    if (this.#closed) return /** @type {const} */ ('closed');
    return this.channel?.readyState === 'open' ? /** @type {const} */ ('open') : /** @type {const} */ ('connecting');
  }

  /**
   * Has a connection carry the channel.
   *
   * @param {RTCPeerConnection} connection
   */
  openOn(connection) {
    if (this.#closed || !this.init) return;
    const { ordered, maxRetransmits, maxPacketLifeTime, protocol } = this.init;
    const channel = connection.createDataChannel(this.#owner.label, {
      ordered: ordered ?? true,
      ...(maxRetransmits !== undefined && { maxRetransmits }),
      ...(maxPacketLifeTime !== undefined && { maxPacketLifeTime }),
      ...(protocol !== undefined && { protocol }),
    });
    this.#ours = channel;
    this.#listen(channel);
  }

  /** @param {RTCDataChannel} channel that the peer has opened */
  came(channel) {
    if (this.#closed) return channel.close();
    const former = this.#theirs;
    this.#theirs = channel;
    former?.close();
    this.#listen(channel);
    if (channel.readyState === 'open') this.#opened(channel);
  }

  /**
   * @param {any} data
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<void>}
   */
  send(data, signal) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const given = () => {
        this.#queue = this.#queue.filter((other) => other !== entry);
        reject(signal?.reason);
      };
      const entry = {
        data,
        settle: (/** @type {unknown} */ error) => {
          signal?.removeEventListener('abort', given);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      signal?.addEventListener('abort', given, { once: true });
      this.#queue.push(entry);
      this.#drain();
    });
  }

  /** @param {boolean} byUs the peer must learn of it */
  close(byUs) {
    if (this.#closed) return;
    this.#closed = true;
    this.#ours?.close();
    this.#theirs?.close();
    if (byUs) this.#onClose(this.#owner.label);
    this.#drain();
    emit(this.#owner, 'closed', null);
  }

  /** @param {RTCDataChannel} channel */
  #listen(channel) {
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = LOW_BYTES;
    channel.addEventListener('open', () => this.#opened(channel));
    channel.addEventListener('bufferedamountlow', () => this.#drain());
    channel.addEventListener('message', ({ data }) => !this.#closed && emit(this.#owner, 'message', data));
    channel.addEventListener('close', () => {
      if (channel !== this.#ours && channel !== this.#theirs) return;
      const wasUsed = channel === this.channel;
      if (channel === this.#ours) this.#ours = undefined;
      else this.#theirs = undefined;
      if (wasUsed && !this.#closed) emit(this.#owner, 'interrupted', null);
      this.#drain();
    });
  }

  /** @param {RTCDataChannel} channel */
  #opened(channel) {
    if (channel !== this.channel || this.#closed) return;
    emit(this.#owner, 'open', null);
    this.#drain();
  }

  #drain() {
    while (this.#queue.length > 0) {
      const channel = this.channel;
      if (!this.#closed && (channel?.readyState !== 'open' || channel.bufferedAmount > MAX_BUFFERED_BYTES)) return;
      const { data, settle } = /** @type {Waiting} */ (this.#queue.shift());
      if (this.#closed) {
        settle(new TurnpikeError('closed', `The channel ${this.#owner.label} is closed.`));
        continue;
      }
      try {
        channel?.send(data);
        settle();
      } catch (error) {
        settle(error); // It is too long for the peer, or nothing that can be sent.
      }
    }
  }
}

/** @param {unknown} label @returns {string} @throws {TypeError} */
export function checkedLabel(label) {
  if (typeof label === 'string' && label && label.length <= MAX_LABEL && !label.startsWith('turnpike.')) return label;
  throw new TypeError(`A channel's label is a string of 1 to ${MAX_LABEL} characters that does not begin with 'turnpike.'.`);
}
