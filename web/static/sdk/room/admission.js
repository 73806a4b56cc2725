// @ts-check
import { TurnpikeError } from '../error.js';
import { pause } from '../server/backoff.js';

/**
 * @import { JoinMessage } from '../server/messages.js'
 * @import { RoomClient } from './room.js'
 *
 * @typedef {object} Entering
 * @property {(() => void) | undefined} onWaiting
 * @property {(() => void) | undefined} onFull
 * @property {AbortSignal | undefined} signal
 */

/** The server gives up the seat of somebody who has lost the connection after half a minute, and lets us ask this often. */
const FULL_TRIES = 12;
const FULL_PAUSE_MS = 3000;

/**
 * @typedef {object} Wait
 * @property {Promise<void>} admitted resolves when we are in the room
 * @property {() => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** @type {Record<string, [code: string, message: string]>} by the reason of `left`; any other reason is its own code */
const ERRORS = {
  closed: ['not-existing', 'The room closed before anybody let us in.'],
  refused: ['refused', 'We were not let in.'],
};

/** The ways into rooms, and the rooms with a waiting room in which we wait to be let in. */
export class Admissions {
  /** @type {Map<string, Wait>} by room */
  #waits = new Map();
  #client;

  /** @param {RoomClient} client */
  constructor(client) {
    this.#client = client;
  }

  get rooms() {
    return [...this.#waits.keys()];
  }

  /** @param {string} room */
  has(room) {
    return this.#waits.has(room);
  }

  /**
   * Joins a room.
   *
   * @param {JoinMessage} message
   * @param {Entering} entering
   * @returns {Promise<string>} the room's id, once we are in it
   */
  async enter(message, { onWaiting, onFull, signal }) {
    const { room: id } = await this.#ask(message, onFull, signal);
    if (!this.has(id)) return id;
    const giveUp = () => {
      this.failed(id, signal?.reason);
      this.#client.request({ type: 'leave', room: id }).catch(() => {});
    };
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp);
    onWaiting?.();
    await this.until(id).finally(() => signal?.removeEventListener('abort', giveUp));
    return id;
  }

  /**
   * @param {JoinMessage} message
   * @param {(() => void) | undefined} onFull
   * @param {AbortSignal} [signal]
   * @returns {Promise<{ room: string }>}
   */
  async #ask(message, onFull, signal = new AbortController().signal) {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#client.request({ ...message, ...mediaOf(this.#client) });
      } catch (error) {
        const mayGo = error instanceof TurnpikeError && error.code === 'full' && error.away;
        if (!mayGo || tries === FULL_TRIES) throw error;
        if (tries === 1) onFull?.();
        await pause(FULL_PAUSE_MS, signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Asks again to be let in where we wait: the session that waited is gone, or the server has forgotten that it waited. */
  askAgain() {
    for (const room of this.rooms) {
      this.#client.request({ type: 'join', room, ...mediaOf(this.#client) }).catch((error) => this.failed(room, error));
    }
  }

  /** The server says that we wait. After a lost connection it may say so again. @param {string} room */
  begin(room) {
    if (this.#waits.has(room)) return;
    const wait = /** @type {Wait} */ ({});
    wait.admitted = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    wait.admitted.catch(() => {}); // The app may have given up.
    this.#waits.set(room, wait);
  }

  /** Resolves when we are let in, or at once if we do not wait. @param {string} room */
  async until(room) {
    await this.#waits.get(room)?.admitted;
  }

  /** @param {string} room */
  admitted(room) {
    const wait = this.#waits.get(room);
    this.#waits.delete(room);
    wait?.resolve();
  }

  /**
   * @param {string} room
   * @param {string} reason of `left`
   */
  left(room, reason) {
    const [code, message] = ERRORS[reason] ?? [reason, undefined];
    this.failed(room, new TurnpikeError(code, message));
  }

  /**
   * @param {string} room
   * @param {unknown} error
   */
  failed(room, error) {
    const wait = this.#waits.get(room);
    this.#waits.delete(room);
    wait?.reject(error);
  }
}

/**
 * @param {Pick<RoomClient, 'options'>} client
 * @returns {{ media?: false }} what a `join` says if the client takes no part in WebRTC
 */
export function mediaOf({ options }) {
  return options.media === false ? { media: false } : {};
}
