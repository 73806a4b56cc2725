// @ts-check

/** @import { Peer } from '../../sdk/turnpike.js' */

export const REACTION = 'page.reaction';

/** All that there are, each with the name of its drawing in reactions.svg. @type {Readonly<Record<string, string>>} */
export const REACTIONS = { '\u{1f44d}': 'like', '\u{1f44f}': 'clap', '\u2764\ufe0f': 'heart', '\u{1f602}': 'laugh', '\u{1f62e}': 'wow', '\u{1f389}': 'party' };

/** So many of each person are shown at once, and then so many a second. What is more is left out. */
const BURST = 3;
const PER_SECOND = 2;
/** Screen readers are told of each person's reactions this often. */
const TELL_MS = 3000;

/** Which reactions of the people of a room are shown and told: as many as eyes and ears can take. */
export class Rates {
  /** @type {Map<Peer | 'me', { left: number, at: number, toldAt: number }>} */
  #rates = new Map();

  /**
   * @param {Peer | 'me'} who
   * @param {any} data may be anything, since it comes from the peer
   * @returns {{ drawing: string, told: boolean } | undefined} undefined: it is none that we know, or one too many. told: screen
   * readers, too
   */
  take(who, data) {
    const emoji = data?.emoji;
    if (typeof emoji !== 'string' || !Object.hasOwn(REACTIONS, emoji)) return undefined;
    const now = performance.now();
    const rate = this.#rates.get(who) ?? { left: BURST, at: now, toldAt: -Infinity };
    this.#rates.set(who, rate);
    rate.left = Math.min(BURST, rate.left + ((now - rate.at) / 1000) * PER_SECOND);
    rate.at = now;
    if (rate.left < 1) return undefined;
    rate.left--;
    const told = now - rate.toldAt >= TELL_MS;
    if (told) rate.toldAt = now;
    return { drawing: REACTIONS[emoji] ?? '', told };
  }

  /** They have left. @param {Peer} peer */
  forget(peer) {
    this.#rates.delete(peer);
  }
}
