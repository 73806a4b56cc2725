// @ts-check

/**
 * @import { TabStorage } from '../options.js'
 * @import { SavedChat } from '../peer/chat.js'
 * @import { SavedCalls } from '../room/calls.js'
 * @import { SavedSession } from '../server/signaling.js'
 *
 * A page leaves this to the page that takes its place when it is reloaded. `chats` are by room, and by session or user of the peer.
 * @typedef {SavedCalls & { link: SavedSession, chats: Record<string, SavedChat> }} SavedPage
 */

/** Of the saved text. After an upgrade of the server, the next page may know another format. */
const FORMAT = 1;

/** The keys in the browser's storage that a client of this page has. @type {Set<string>} */
const held = new Set();

/**
 * Keeps a session over a reload. The storage holds it only while no page uses it: a page claims it when it begins, and
 * saves it when it ends. If a tab is duplicated in between, the copy finds nothing, and gets a session of its own.
 */
export class ReloadStore {
  #key;
  #storage;
  /** Whether the browser's storage is ours. */
  #isHolder = false;

  /**
   * @param {TabStorage | null | undefined} storage of this tab alone; default: the browser's, for one client of a page; null
   *   saves nothing
   * @param {string} server
   */
  constructor(storage, server) {
    this.#key = `turnpike.session ${server}`;
    this.#storage = storage === undefined ? this.#tabStorage() : storage;
  }

  /** Whether a session is saved for the next page at all. */
  get keeps() {
    return !!this.#storage;
  }

  /** Lets another client of this page have the browser's storage. */
  release() {
    if (this.#isHolder) held.delete(this.#key);
    this.#isHolder = false;
  }

  /** @returns {TabStorage | undefined} */
  #tabStorage() {
    if (held.has(this.#key)) return undefined;
    try {
      const storage = globalThis.sessionStorage;
      if (!storage) return undefined;
      held.add(this.#key);
      this.#isHolder = true;
      return storage;
    } catch {
      return undefined; // A private mode forbids storage.
    }
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
