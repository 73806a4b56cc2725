// @ts-check
import { PeerChannel, checkedLabel, controlOf } from './channel.js';

/** So many channels may a peer open. */
const MAX_CHANNELS = 64;

/** The channels of an app with one peer, by label. */
export class Channels {
  /** @type {Map<string, PeerChannel>} */
  #channels = new Map();
  #onClose;

  /** @param {(label: string) => void} onClose tells the peer that we have closed one */
  constructor(onClose) {
    this.#onClose = onClose;
  }

  /** @param {string} label @returns {PeerChannel} new, or the one that there is */
  open(label) {
    const known = this.#channels.get(checkedLabel(label));
    if (known) return known;
    const channel = new PeerChannel(label, (label) => {
      this.#channels.delete(label);
      this.#onClose(label);
    });
    this.#channels.set(label, channel);
    return channel;
  }

  /**
   * @param {RTCDataChannel} channel that the peer has opened
   * @returns {PeerChannel | undefined} if it is new
   */
  came(channel) {
    const isKnown = this.#channels.has(channel.label);
    if (!isKnown && (this.#channels.size >= MAX_CHANNELS || !isLabel(channel.label))) return void channel.close();
    const opened = this.open(channel.label);
    controlOf(opened).came(channel);
    return isKnown ? undefined : opened;
  }

  /** @param {RTCPeerConnection} connection that carries the channels from now on */
  openOn(connection) {
    for (const channel of this.#channels.values()) controlOf(channel).openOn(connection);
  }

  /** The peer has closed one. @param {unknown} label */
  closed(label) {
    const channel = this.#channels.get(String(label));
    if (!channel) return;
    this.#channels.delete(channel.label);
    controlOf(channel).close(false);
  }

  close() {
    for (const channel of [...this.#channels.values()]) this.closed(channel.label);
  }
}

/** @param {string} label */
function isLabel(label) {
  try {
    return checkedLabel(label) === label;
  } catch {
    return false;
  }
}
