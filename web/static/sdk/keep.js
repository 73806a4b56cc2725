// @ts-check

/**
 * @import { Kept } from './link.js'
 * @import { KeptChat } from './chat.js'
 *
 * @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} KeepStorage
 *
 * @typedef {object} Keepsake what a page leaves to the one that takes its place when it is reloaded
 * @property {Kept} link
 * @property {Record<string, KeptChat>} chats by the room and the session of the peer
 * @property {{ id: string, direction: 'incoming' | 'outgoing', user: { user: string, name: string }, room: string }[]} calls that were accepted
 * @property {string[]} ringing calls that we had made and nobody had answered yet
 */

/** Of the keepsake: a server that is upgraded between two pages brings pages that know another one. */
const FORMAT = 1;

/**
 * Keeps a session over a reload. The keepsake is in the storage only while no page uses it: a page takes it out when it begins,
 * and puts it back when it ends. A tab that is duplicated in between copies a storage without it, and gets a session of its own.
 */
export class Keep {
  #storage;
  #key;

  /**
   * @param {KeepStorage | undefined} storage of this tab alone; undefined keeps nothing
   * @param {string} server
   */
  constructor(storage, server) {
    this.#storage = storage;
    this.#key = `turnpike.session ${server}`;
  }

  /** @returns {Keepsake | undefined} */
  take() {
    try {
      const text = this.#storage?.getItem(this.#key);
      if (!text) return undefined;
      this.#storage?.removeItem(this.#key);
      const keepsake = JSON.parse(text);
      return keepsake?.format === FORMAT ? keepsake : undefined;
    } catch {
      return undefined; // Private modes refuse, and what others wrote there is not ours to judge.
    }
  }

  /** @param {Keepsake} keepsake */
  put(keepsake) {
    if (!this.#set(keepsake)) this.#set({ ...keepsake, chats: {} }); // Much was said to somebody who is away.
  }

  /**
   * @param {Keepsake} keepsake
   * @returns {boolean} whether there is room for it
   */
  #set(keepsake) {
    try {
      this.#storage?.setItem(this.#key, JSON.stringify({ format: FORMAT, ...keepsake }));
      return true;
    } catch {
      return false; // If it is forbidden, the next page begins a new session.
    }
  }
}
