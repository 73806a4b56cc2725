// @ts-check

/**
 * @import { TabStorage } from '../options.js'
 * @import { SavedChat } from '../peer/chat.js'
 * @import { SavedCalls } from '../room/calls.js'
 * @import { SavedSession } from '../server/signaling.js'
 *
 * A page leaves this to the page that takes its place when it is reloaded. `chats` are by room and session of the peer.
 * @typedef {SavedCalls & { link: SavedSession, chats: Record<string, SavedChat> }} SavedPage
 */

/** Of the saved text. After an upgrade of the server, the next page may know another format. */
const FORMAT = 1;

/**
 * Keeps a session over a reload. The storage holds it only while no page uses it: a page claims it when it begins, and
 * saves it when it ends. If a tab is duplicated in between, the copy finds nothing, and gets a session of its own.
 */
export class ReloadStore {
  #storage;
  #key;

  /**
   * @param {TabStorage | undefined} storage of this tab alone; undefined saves nothing
   * @param {string} server
   */
  constructor(storage, server) {
    this.#storage = storage;
    this.#key = `turnpike.session ${server}`;
  }

  /** Takes the saved page out of the storage. @returns {SavedPage | undefined} */
  claim() {
    try {
      const text = this.#storage?.getItem(this.#key);
      if (!text) return undefined;
      this.#storage?.removeItem(this.#key);
      const saved = JSON.parse(text);
      return saved?.format === FORMAT ? saved : undefined;
    } catch {
      return undefined; // A private mode forbids storage, or somebody else wrote this text.
    }
  }

  /** @param {SavedPage} page */
  save(page) {
    if (!this.#write(page)) this.#write({ ...page, chats: {} }); // The messages to peers who are away can be too long.
  }

  /**
   * @param {SavedPage} page
   * @returns {boolean} whether there was room for it
   */
  #write(page) {
    try {
      this.#storage?.setItem(this.#key, JSON.stringify({ format: FORMAT, ...page }));
      return true;
    } catch {
      return false; // If storage is forbidden, the next page begins a new session.
    }
  }
}
