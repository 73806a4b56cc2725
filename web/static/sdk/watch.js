// @ts-check

/**
 * @import { Link } from './link.js'
 * @import { Peer } from './peer.js'
 *
 * @typedef {object} Beat what the watch knows of a peer
 * @property {number | undefined} signs of life, when they were last counted
 * @property {number} steady checks in a row that found new ones
 * @property {number} silent checks since then that found none
 * @property {number} limit of silent checks that raises a doubt
 * @property {number} offering checks in a row that found an offer unanswered
 * @property {number} rest checks until it may be connected anew once more
 */

const CHECK_MS = 500;
/** Where there was a steady flow, 2 s without anything are strange. */
const STEADY = 2;
const SILENT = 4;
/** So long before the doubt the server is asked for a sign of life. */
const PROBING = 2;
/** Where nothing is sent, the checks that keep the path open come every few seconds. */
const IDLE = 12;
/** Checks after a resume in which a doubt needs no proof: the network has just shown that it changes. */
const SHAKEN = 10;
const REST = 10;
const UNANSWERED = 20;

/**
 * Watches what comes in from the peers. WebRTC itself takes some 15 s to call a path failed. Silence for 2 s raises the doubt whether the
 * network is still the same, and a probe of the signaling settles it: if that is dead too, it is resumed at once, and then the silent
 * peers are connected anew; if it lives, a peer that goes on being silent is.
 */
export class Watch {
  #link;
  #peers;
  /** @type {WeakMap<Peer, Beat>} */
  #beats = new WeakMap();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #shaken = 0;

  /**
   * @param {Link} link
   * @param {() => Peer[]} peers all that there are at this moment
   */
  constructor(link, peers) {
    this.#link = link;
    this.#peers = peers;
  }

  /** To be called when there may be peers. It goes on until there are none. */
  start() {
    this.#timer ??= setTimeout(async () => {
      await this.#check();
      this.#timer = undefined;
      if (this.#peers().length > 0) this.start();
    }, CHECK_MS);
  }

  /** The session is back after a lost connection: whoever is silent is connected anew. */
  resumed() {
    this.#shaken = SHAKEN;
    for (const peer of this.#peers()) {
      const { silent } = this.#beatOf(peer);
      if (silent >= SILENT / 2 || isBroken(peer)) this.#reconnect(peer);
    }
  }

  /** Something is wrong on the way to a peer. @param {Peer} peer */
  async doubt(peer) {
    if (!(await this.#link.probe({ suspicious: true })) || peer.away) return; // It, or we, will come back, and reconnect.
    const { silent } = this.#beatOf(peer);
    if (isBroken(peer) || silent >= IDLE || (silent > 0 && this.#shaken > 0)) this.#reconnect(peer);
  }

  async #check() {
    this.#shaken = Math.max(0, this.#shaken - 1);
    await Promise.all(this.#peers().map(async (peer) => {
      const signs = await peer.signsOfLife().catch(() => undefined);
      const beat = this.#beatOf(peer);
      beat.rest = Math.max(0, beat.rest - 1);
      this.#checkOffer(peer, beat);
      if (signs === undefined) return;
      const grown = signs > (beat.signs ?? 0);
      beat.signs = signs; // Less than before: the browser has dropped a path, and what it counted there.
      if (grown) {
        beat.steady++;
        beat.silent = 0;
        return;
      }
      if (beat.silent++ === 0) {
        beat.limit = beat.steady >= STEADY ? SILENT : IDLE;
        beat.steady = 0;
      }
      // If the server is as silent meanwhile, the way back begins when the limit is reached.
      if (beat.silent === beat.limit - PROBING) this.#link.probe({ suspicious: true });
      if (beat.silent === beat.limit || beat.silent % IDLE === 0) await this.doubt(peer);
    }));
  }

  /**
   * An offer that nobody answers has met something that the negotiation is not made for.
   *
   * @param {Peer} peer
   * @param {Beat} beat
   */
  #checkOffer(peer, beat) {
    beat.offering = peer.isOffering && !peer.away && this.#link.state === 'online' ? beat.offering + 1 : 0;
    if (beat.offering < UNANSWERED) return;
    beat.offering = 0;
    peer.restart({ lost: true });
  }

  /** @param {Peer} peer */
  #reconnect(peer) {
    const beat = this.#beatOf(peer);
    if (beat.rest > 0) return;
    beat.rest = REST;
    peer.reconnect();
  }

  /** @param {Peer} peer @returns {Beat} */
  #beatOf(peer) {
    let beat = this.#beats.get(peer);
    if (!beat) this.#beats.set(peer, beat = { signs: undefined, steady: 0, silent: 0, limit: IDLE, offering: 0, rest: 0 });
    return beat;
  }
}

/** @param {Peer} peer */
function isBroken(peer) {
  return ['disconnected', 'failed'].includes(peer.connection.iceConnectionState);
}
