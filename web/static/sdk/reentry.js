// @ts-check
import { pause } from './backoff.js';
import { TurnpikeError, codeOf, isPassing } from './error.js';

/**
 * @import { Client } from './client.js'
 * @import { RoomState } from './messages.js'
 * @import { Room } from './room.js'
 */

/** Whoever holds our place in a room may be our own former session, until the server gives it up. */
const REJOIN_TRIES = 12;
const REJOIN_PAUSE_MS = 5000;

/** Brings a client back into its rooms, after a return that did not leave everything as it was. */
export class Reentry {
  #client;
  #ended;

  /**
   * @param {Client} client
   * @param {AbortSignal} ended the client is closed
   */
  constructor(client, ended) {
    this.#client = client;
    this.#ended = ended;
  }

  /** Another session has begun: the server knows nothing of the rooms that we were in. */
  lost() {
    for (const room of this.#client.rooms.values()) this.#rejoin(room);
  }

  /**
   * The server was started again. What it had not yet told us, or forwarded for us, is lost, and so are its relays.
   *
   * @param {RoomState[]} states of the rooms that it has put us into
   * @param {number} patience milliseconds to wait for others to come back
   * @param {boolean} changing requests wait that change where we are
   */
  restored(states, patience, changing) {
    const { rooms } = this.#client;
    const known = new Map(states.map((state) => [state.room, state]));
    for (const room of rooms.values()) {
      const state = known.get(room.id);
      if (state) room.restored(state, patience);
      else this.#rejoin(room, patience);
    }
    if (changing) return;
    for (const { room } of states) {
      // It has not learned in time that we left.
      if (!rooms.has(room)) this.#client.request({ type: 'leave', room }).catch(() => {});
    }
  }

  /**
   * @param {Room} room
   * @param {number} [patience] milliseconds to wait for others to come back, if they are to come back as whom we know
   */
  async #rejoin(room, patience) {
    const client = this.#client;
    const { session } = client;
    for (let tries = 1; session === client.session && !room.isLeft; tries++) {
      try {
        const answer = await client.request({ type: 'join', room: room.id, create: true, size: room.size });
        if (patience && answer.type === 'joined') room.roster.awaitAllBut(answer.peers, patience);
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code === 'closed') return;
        if (!(code === 'full' || isPassing(error)) || tries === REJOIN_TRIES) return room.end(code);
        const asked = error instanceof TurnpikeError ? (error.retryAfter ?? 0) * 1000 : 0;
        await pause(Math.max(REJOIN_PAUSE_MS, asked), this.#ended);
      }
    }
  }
}
