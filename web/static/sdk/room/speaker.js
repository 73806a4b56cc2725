// @ts-check
/** @import { Peer } from '../peer/peer.js' */

/** The level of a clear voice, -26 dB. Somebody louder is only nearer to the microphone. */
const CLEAR = 0.05;
/** Less is noise. */
const AUDIBLE = 0.004;
/** A look counts for a quarter of what is known: a cough makes nobody the speaker, and a pause ends nothing. */
const SHARE = 0.25;
/** Another must be so much louder. */
const LEAD = 1.5;
/** So many looks must be between one speaker and the next. */
const LEAST = 4;

/** Which peer speaks, or was the last who did. */
export class Speaker {
  /** @type {Peer | undefined} */
  peer;
  /** @type {WeakMap<Peer, number>} a moving average */
  #voices = new WeakMap();
  #looks = 0;

  /**
   * Must be called again and again.
   *
   * @param {Iterable<Peer>} peers
   * @returns {boolean} whether it is another one now
   */
  look(peers) {
    /** @type {Peer | undefined} */
    let loudest;
    let [isHere, most] = [false, AUDIBLE];
    for (const peer of peers) {
      const voice = this.#voice(peer) + SHARE * (Math.min(peer.level, CLEAR) - this.#voice(peer));
      this.#voices.set(peer, voice);
      if (peer === this.peer) isHere = true;
      if (voice > most) [loudest, most] = [peer, voice];
    }
    const hasTurn = ++this.#looks >= LEAST && loudest && most > LEAD * this.#voice(this.peer);
    if (loudest === this.peer || (isHere && !hasTurn)) return false;
    this.peer = loudest;
    this.#looks = 0;
    return true;
  }

  /** @param {Peer | undefined} peer */
  #voice(peer) {
    return (peer && this.#voices.get(peer)) ?? 0;
  }
}
