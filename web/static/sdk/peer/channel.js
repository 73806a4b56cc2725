// @ts-check
import { Emitter, emit } from '../emitter.js';
import { TurnpikeError } from '../error.js';
import { MAX_BUFFERED_BYTES, SendQueue } from './queue.js';

/**
 * @typedef {object} PeerChannelEvents
 * @property {null} open data goes through, for the first time or on another connection; what was under way on the one before may be lost
 * @property {unknown} message a string, or an ArrayBuffer
 * @property {null} interrupted nothing goes through until the next `open`
 * @property {null} closed for good: by either side, or the peer has left
 */

/** For the SDK's own use. @type {(channel: PeerChannel) => ChannelControl} */
export let controlOf;

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
    return this.#control.queue.add(data, signal);
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
  /** @type {SendQueue<any, void>} */
  queue = new SendQueue(() => this.#closed || this.#hasRoom, (data) => {
    if (this.#closed) throw new TurnpikeError('closed', `The channel ${this.#owner.label} is closed.`);
    this.channel?.send(data); // It throws if this is too long for the peer, or nothing that can be sent.
  });

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

  /** @returns {PeerChannel['state']} */
  get state() {
    if (this.#closed) return 'closed';
    return this.channel?.readyState === 'open' ? 'open' : 'connecting';
  }

  get #hasRoom() {
    return this.channel?.readyState === 'open' && this.channel.bufferedAmount <= MAX_BUFFERED_BYTES;
  }

  /**
   * Has a connection carry the channel.
   *
   * @param {RTCPeerConnection} connection
   */
  openOn(connection) {
    if (this.#closed || !this.init) return;
    const { id, negotiated, ...init } = this.init; // The browser gives the ids.
    this.#ours = connection.createDataChannel(this.#owner.label, init);
    this.#listen(this.#ours);
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

  /** @param {boolean} byUs the peer must learn of it */
  close(byUs) {
    if (this.#closed) return;
    this.#closed = true;
    this.#ours?.close();
    this.#theirs?.close();
    if (byUs) this.#onClose(this.#owner.label);
    this.queue.drain();
    emit(this.#owner, 'closed', null);
  }

  /** @param {RTCDataChannel} channel */
  #listen(channel) {
    channel.binaryType = 'arraybuffer';
    this.queue.follow(channel);
    channel.addEventListener('open', () => this.#opened(channel));
    channel.addEventListener('message', ({ data }) => !this.#closed && emit(this.#owner, 'message', data));
    channel.addEventListener('close', () => {
      if (channel !== this.#ours && channel !== this.#theirs) return;
      const wasUsed = channel === this.channel;
      if (channel === this.#ours) this.#ours = undefined;
      else this.#theirs = undefined;
      if (wasUsed && !this.#closed) emit(this.#owner, 'interrupted', null);
      this.queue.drain();
    });
  }

  /** @param {RTCDataChannel} channel */
  #opened(channel) {
    if (channel !== this.channel || this.#closed) return;
    emit(this.#owner, 'open', null);
    this.queue.drain();
  }
}

/** @param {unknown} label @returns {string} @throws {TypeError} */
export function checkedLabel(label) {
  if (typeof label === 'string' && label && label.length <= MAX_LABEL && !label.startsWith('turnpike.')) return label;
  throw new TypeError(`A channel's label is a string of 1 to ${MAX_LABEL} characters that does not begin with 'turnpike.'.`);
}
