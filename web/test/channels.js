// @ts-check
// Channels of two peers in memory, and the streams on them.
import { webcrypto } from 'node:crypto';
import { Emitter, emit } from '../static/sdk/emitter.js';
import { Stream } from '../static/files/stream.js';

/** @import { PeerChannel, PeerChannelEvents } from '../static/sdk/peer/channel.js' */

// Node.js 18 has it, but not under this name.
if (!globalThis.crypto) Object.defineProperty(globalThis, 'crypto', { value: webcrypto });

/** One end, which does what files/stream.js needs of a PeerChannel. @extends {Emitter<PeerChannelEvents>} */
class FakeChannel extends Emitter {
  /** @type {FakeChannel | undefined} */
  other;
  isClosed = false;
  /** @type {unknown[]} what was sent on it */
  sent = [];

  /** @param {string} label */
  constructor(label) {
    super();
    this.label = label;
  }

  /** @param {string | Uint8Array} data */
  async send(data) {
    if (this.isClosed) throw new Error('the channel is closed');
    const copy = typeof data === 'string' ? data : data.slice().buffer;
    this.sent.push(copy);
    await Promise.resolve();
    if (this.other && !this.other.isClosed) emit(this.other, 'message', copy);
  }

  close() {
    for (const end of [this, this.other]) {
      if (!end || end.isClosed) continue;
      end.isClosed = true;
      emit(end, 'closed', null);
    }
  }
}

/** Two peers: one opens streams, which come to the other. */
export class FakeLink {
  /** @type {FakeChannel[]} */
  #channels = [];
  /** @type {(stream: Stream) => void} */
  #came;

  /** @param {(stream: Stream) => void} came */
  constructor(came) {
    this.#came = came;
  }

  /** @param {string} name */
  open = async (name) => {
    const [ours, theirs] = channels(name);
    this.#channels.push(ours);
    const stream = new Stream(asPeerChannel(ours));
    this.#came(new Stream(asPeerChannel(theirs)));
    return stream;
  };

  /** The names of all streams that were opened. */
  get names() {
    return this.#channels.map(({ label }) => label);
  }

  /** The connection breaks. */
  cut() {
    for (const channel of this.#channels) channel.close();
  }
}

/** @param {string} name @returns {[FakeChannel, FakeChannel]} */
export function channels(name) {
  const [one, other] = [new FakeChannel(name), new FakeChannel(name)];
  [one.other, other.other] = [other, one];
  return [one, other];
}

/** @param {FakeChannel} channel */
export function asPeerChannel(channel) {
  return /** @type {PeerChannel} */ (/** @type {unknown} */ (channel));
}

/** @param {string} name @returns {[Stream, Stream]} */
export function streams(name) {
  const [one, other] = channels(name);
  return [new Stream(asPeerChannel(one)), new Stream(asPeerChannel(other))];
}
