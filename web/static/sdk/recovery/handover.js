// @ts-check
import { PeerChat } from '../peer/chat.js';
import { insideOf } from '../room/room.js';
import { serverUrl } from '../server/address.js';
import { followPage } from './pagelife.js';
import { ReloadStore } from './reload.js';

/**
 * @import { ClientOptions } from '../options.js'
 * @import { SavedChat } from '../peer/chat.js'
 * @import { Calls } from '../room/calls.js'
 * @import { Room } from '../room/room.js'
 * @import { Signaling } from '../server/signaling.js'
 *
 * @typedef {object} Kept what the page after this one goes on with, beside the session
 * @property {Map<string, Room>} rooms
 * @property {Calls} calls
 */

/** So many chats are saved for the next page, since the storage has a quota. */
const MAX_CHATS = 32;

/** Hands the session from a page to the one that takes its place. */
export class Handover {
  #options;
  #reloads;
  /** @type {Record<string, SavedChat>} of the page before this one, by room and session, or user */
  #chats;

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    this.#reloads = new ReloadStore(options.storage, serverUrl(options.url).origin);
    /** What the page before this one has saved. */
    this.saved = this.#reloads.claim();
    this.#chats = this.saved?.chats ?? {};
  }

  /**
   * Hands over the chats that the page before this one has saved, by session, and by user with those who were lost.
   *
   * @param {string} room
   * @returns {Map<string, PeerChat>}
   */
  claimChats(room) {
    const chats = new Map();
    for (const key in this.#chats) {
      if (!key.startsWith(`${room} `)) continue;
      chats.set(key.slice(room.length + 1), new PeerChat(this.#chats[key]));
      delete this.#chats[key];
    }
    return chats;
  }

  /**
   * Follows the life of the page.
   *
   * @param {Signaling} signaling
   * @param {Kept} kept
   * @param {AbortSignal} signal
   */
  follow(signaling, kept, signal) {
    followPage(this.#options.events ?? globalThis, {
      online: () => signaling.wake({ suspicious: true }),
      wake: () => signaling.wake(),
      hide: (persisted) => this.#hide(signaling, kept, persisted),
      show: () => {
        this.#reloads.claim(); // We go on with the session ourselves.
        signaling.wake();
      },
    }, signal);
  }

  /**
   * Lets another client of this page have the browser's storage.
   *
   * @param {boolean} unused we were given up before we came back: the other client may go on with what the page before this one saved
   */
  release(unused) {
    if (unused && this.saved) this.#reloads.save(this.saved);
    this.#reloads.release();
  }

  /**
   * The page may be about to end.
   *
   * @param {Signaling} signaling
   * @param {Kept} kept
   * @param {boolean} persisted it may also be shown again
   */
  #hide(signaling, { rooms, calls }, persisted) {
    // Without a storage the next page could not come back to our seats. They are free at once.
    if (!this.#reloads.keeps) return persisted ? undefined : signaling.farewell();
    const link = signaling.saved;
    if (!link) return;
    const chats = [...rooms.values()].flatMap((room) => insideOf(room).roster.chats.map(([key, chat]) => [`${room.id} ${key}`, chat.saved]));
    const latest = [...Object.entries(this.#chats), ...chats].slice(-MAX_CHATS);
    this.#reloads.save({ link, chats: Object.fromEntries(latest), ...calls.saved });
  }
}
