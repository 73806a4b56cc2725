// @ts-check
import { TurnpikeError, codeOf, isPassing } from '../error.js';
import { mediaOf } from '../room/admission.js';
import { insideOf } from '../room/room.js';
import { pause } from '../server/backoff.js';

/**
 * @import { RoomState } from '../server/messages.js'
 * @import { Room, RoomClient } from '../room/room.js'
 */

/** Our own former session may hold our place in a room, until the server gives it up. */
const REJOIN_TRIES = 12;
const REJOIN_PAUSE_MS = 5000;

/** Brings a client back into its rooms, when it could not simply resume its session. */
export class Rejoin {
  #client;
  #ended;

  /**
   * @param {RoomClient} client
   * @param {AbortSignal} ended aborts when the client is closed
   */
  constructor(client, ended) {
    this.#client = client;
    this.#ended = ended;
  }

  /** Another session has begun. The server knows nothing of our rooms. */
  all() {
    for (const room of this.#client.rooms.values()) this.#rejoin(room);
  }

  /**
   * The server has restarted. It has lost its relays, and the messages that it had not yet sent or forwarded.
   *
   * @param {RoomState[]} states of the rooms that it has put us into
   * @param {number} patience milliseconds to wait for the others to come back
   * @param {boolean} changing whether a request to join, leave or accept still waits
   */
  restored(states, patience, changing) {
    const { rooms } = this.#client;
    const known = new Map(states.map((state) => [state.room, state]));
    for (const room of rooms.values()) {
      const state = known.get(room.id);
      if (state) insideOf(room).restored(state, patience);
      else this.#rejoin(room, patience);
    }
    if (changing) return;
    for (const { room } of states) {
      // We left, and it did not learn of it in time.
      if (!rooms.has(room)) this.#client.request({ type: 'leave', room }).catch(() => {});
    }
  }

  /**
   * @param {Room} room
   * @param {number} [patience] milliseconds to wait for the others to come back; undefined if they come back as strangers
   */
  async #rejoin(room, patience) {
    const client = this.#client;
    const { session } = client;
    for (let tries = 1; session === client.session && !room.isLeft; tries++) {
      try {
        const waiting = room.hasWaitingRoom || undefined;
        const answer = await client.request({ type: 'join', room: room.id, create: true, size: room.size, waiting, ...mediaOf(client) });
        if (patience && answer.type === 'joined') insideOf(room).roster.awaitAllBut(answer.peers, patience);
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code === 'closed' || code === 'barred') return; // The session after that comes back by itself.
        if (!(code === 'full' || isPassing(error)) || tries === REJOIN_TRIES) return insideOf(room).end(code);
        const asked = error instanceof TurnpikeError ? (error.retryAfter ?? 0) * 1000 : 0;
        await pause(Math.max(REJOIN_PAUSE_MS, asked), this.#ended);
      }
    }
  }
}
