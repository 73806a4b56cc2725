// @ts-check
import { insideOf } from '../peer/peer.js';

/**
 * @import { Peer } from '../peer/peer.js'
 * @import { Signaling } from '../server/signaling.js'
 *
 * @typedef {object} Pulse the state of one peer, counted in checks
 * @property {number | undefined} signs of life at the last check
 * @property {number} steady checks in a row that found new signs of life
 * @property {number} silent checks since then that found none
 * @property {number} limit of silent checks that raises a doubt
 * @property {number} offering checks in a row that found an unanswered offer
 * @property {number} unanswered offers in a row that were taken back
 * @property {number} rest checks until the peer may be connected anew again
 */

const CHECK_MS = 500;
/** After so many steady checks, SILENT checks without anything raise a doubt. */
const STEADY = 2;
const SILENT = 4;
/** The server is probed so many checks before the doubt. */
const PROBING = 2;
/** The limit on an idle path: WebRTC's own checks, which keep it open, come only every few seconds. */
const IDLE = 12;
/** So many checks after a resume, a doubt needs no more proof: the network has just changed. */
const SHAKEN = 10;
const REST = 10;
const UNANSWERED = 20;
/** A check so much too late says that this machine has no time for us, and nothing about the peers. */
const LATE_MS = 250;
/** But where a browser slows down the timers of hidden pages, every check is late: after so many, one counts. */
const MAX_LATE = 3;

/**
 * Watches whether the peers are alive. WebRTC itself takes some 15 s to call a path failed. Here, 2 s of silence raise the
 * doubt whether the network has changed, and a probe of the server settles it. If the server is silent too, the session is
 * resumed at once, and then the silent peers are connected anew. If the server answers, a peer must stay silent for longer.
 */
export class Liveness {
  #signaling;
  #peers;
  #beat;
  /** @type {WeakMap<Peer, Pulse>} */
  #pulses = new WeakMap();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #shaken = 0;
  /** Late checks in a row that did not count. */
  #late = 0;

  /**
   * @param {Signaling} signaling
   * @param {() => Peer[]} peers returns all peers of this moment
   * @param {() => void} [beat] called at each check
   */
  constructor(signaling, peers, beat = () => {}) {
    this.#signaling = signaling;
    this.#peers = peers;
    this.#beat = beat;
  }

  /** Must be called when there may be peers. The checks go on until there are none. */
  start() {
    const due = performance.now() + CHECK_MS;
    this.#timer ??= setTimeout(async () => {
      const isLate = performance.now() - due > LATE_MS;
      this.#late = isLate && this.#late < MAX_LATE ? this.#late + 1 : 0;
      this.#beat();
      await this.#check(this.#late === 0);
      this.#timer = undefined;
      if (this.#peers().length > 0) this.start();
    }, CHECK_MS);
  }

  /** The session is back after a lost connection: silent peers are connected anew. */
  resumed() {
    this.#shaken = SHAKEN;
    for (const peer of this.#peers()) {
      const { silent } = this.#pulseOf(peer);
      if (silent >= SILENT / 2 || isBroken(peer)) this.#reconnect(peer);
    }
  }

  /** Something is wrong with the path to a peer. @param {Peer} peer */
  async doubt(peer) {
    // If the peer is away, or we are, the side that comes back reconnects.
    if (!(await this.#signaling.probe({ suspicious: true })) || peer.away) return;
    const { silent } = this.#pulseOf(peer);
    if (isBroken(peer) || silent >= IDLE || (silent > 0 && this.#shaken > 0)) this.#reconnect(peer);
  }

  /** @param {boolean} silenceCounts */
  async #check(silenceCounts) {
    this.#shaken = Math.max(0, this.#shaken - 1);
    await Promise.all(this.#peers().map(async (peer) => {
      const signs = await insideOf(peer).signsOfLife().catch(() => undefined);
      const pulse = this.#pulseOf(peer);
      pulse.rest = Math.max(0, pulse.rest - 1);
      this.#checkOffer(peer, pulse);
      if (signs === undefined) return;
      const grown = signs > (pulse.signs ?? 0);
      pulse.signs = signs; // It can shrink: the browser has dropped a path, and with it that path's counters.
      if (grown) {
        pulse.steady++;
        pulse.silent = 0;
        return;
      }
      if (!silenceCounts) return;
      if (pulse.silent++ === 0) {
        pulse.limit = pulse.steady >= STEADY ? SILENT : IDLE;
        pulse.steady = 0;
      }
      // If the server is silent too, reconnecting begins by the time that the limit is reached.
      if (pulse.silent === pulse.limit - PROBING) this.#signaling.probe({ suspicious: true });
      if (pulse.silent === pulse.limit || pulse.silent % IDLE === 0) await this.doubt(peer);
    }));
  }

  /**
   * Takes back an offer that stays unanswered: something has happened that the negotiation cannot handle, such as an answer
   * that the browser refuses. The second time the connection itself is given up.
   *
   * @param {Peer} peer
   * @param {Pulse} pulse
   */
  #checkOffer(peer, pulse) {
    const link = insideOf(peer);
    if (!link.isOffering) pulse.unanswered = 0;
    pulse.offering = link.isOffering && !peer.away && this.#signaling.state === 'online' ? pulse.offering + 1 : 0;
    if (pulse.offering < UNANSWERED) return;
    pulse.offering = 0;
    if (pulse.unanswered++ === 0) link.restart({ lost: true });
    else link.reconnect({ lost: true });
  }

  /** @param {Peer} peer */
  #reconnect(peer) {
    const pulse = this.#pulseOf(peer);
    if (pulse.rest > 0) return;
    pulse.rest = REST;
    insideOf(peer).reconnect();
  }

  /** @param {Peer} peer @returns {Pulse} */
  #pulseOf(peer) {
    let pulse = this.#pulses.get(peer);
    if (!pulse) {
      pulse = { signs: undefined, steady: 0, silent: 0, limit: IDLE, offering: 0, unanswered: 0, rest: 0 };
      this.#pulses.set(peer, pulse);
    }
    return pulse;
  }
}

/** @param {Peer} peer */
function isBroken(peer) {
  return ['disconnected', 'failed'].includes(peer.connection?.iceConnectionState ?? '');
}
