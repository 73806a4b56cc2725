// @ts-check
import { hold } from '../emitter.js';
import { codeOf } from '../error.js';
import { Call, insideOf } from './call.js';

/**
 * @import { User } from '../server/messages.js'
 * @import { CallEnd } from './call.js'
 * @import { Room, RoomClient } from './room.js'
 *
 * @typedef {object} SavedCalls for a reload
 * @property {{ id: string, direction: 'incoming' | 'outgoing', user: User, room: string }[]} calls accepted calls
 * @property {string[]} ringing ids of outgoing calls that nobody has answered yet
 */

/** The reasons of `cancel`. */
const CANCELLED = /** @type {const} */ (['cancelled', 'timeout', 'answered-elsewhere', 'gone']);

/** The calls of a client, from the first ring to the end. */
export class Calls {
  /** @type {Map<string, Call>} by id */
  all = new Map();
  #client;
  /** @type {Set<string>} rooms of calls that the other side accepted while we were ending them; we hang them up */
  #unwanted = new Set();
  /** @type {string[]} outgoing calls that rang when the page before this one went away */
  #orphaned = [];

  /** @param {RoomClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** @returns {SavedCalls} */
  get saved() {
    const all = [...this.all.values()];
    const calls = all.flatMap(({ id, direction, user, state, roomId }) => (
      state === 'answered' && roomId ? [{ id, direction, user, room: roomId }] : []));
    const ringing = all.filter(({ direction, state }) => direction === 'outgoing' && state === 'ringing').map(({ id }) => id);
    return { calls, ringing };
  }

  /** @param {SavedCalls} saved by the page before this one */
  restore({ calls, ringing }) {
    this.#orphaned = ringing;
    for (const { id, direction, user, room } of calls) insideOf(this.#add(id, direction, user)).accepted(room);
  }

  /** Cancels the calls of the page before this one, whose callers are gone. */
  cancelOrphaned() {
    for (const call of this.#orphaned.splice(0)) {
      this.#client.request({ type: 'cancel', call }).catch((error) => codeOf(error) === 'no-such-call' && this.#hangUp(call)).catch(() => {});
    }
  }

  /**
   * A call rings. Its events wait until the app knows of it.
   *
   * @param {string} id
   * @param {'incoming' | 'outgoing'} direction
   * @param {User} user
   * @param {unknown} data
   */
  ring(id, direction, user, data) {
    const call = this.#add(id, direction, user, data);
    hold(call);
    return call;
  }

  /**
   * @param {string} id
   * @param {'incoming' | 'outgoing'} direction
   * @param {User} user
   * @param {unknown} [data]
   */
  #add(id, direction, user, data) {
    const call = new Call(this.#client, id, direction, user, data);
    this.all.set(id, call);
    this.#client.changed();
    return call;
  }

  /**
   * @param {string} id
   * @param {string} room
   */
  accepted(id, room) {
    const call = this.all.get(id);
    if (call) return insideOf(call).accepted(room);
    this.#unwanted.add(room); // We ended the call at the same moment.
    this.#hangUp(id).catch((error) => codeOf(error) === 'no-such-call' && this.#client.request({ type: 'leave', room })).catch(() => {});
  }

  /** The other side has ended a call. @param {string} id @param {CallEnd} end */
  over(id, end) {
    const call = this.all.get(id);
    if (call) insideOf(call).end(end);
  }

  /**
   * @param {string} id
   * @param {string} [reason] of `cancel`
   */
  cancelled(id, reason = 'cancelled') {
    const outcome = CANCELLED.find((known) => known === reason) ?? 'gone';
    this.over(id, { outcome, by: outcome === 'cancelled' ? 'them' : undefined });
  }

  /** @param {string} room @returns {boolean} whether it belongs to a call that we have ended */
  isUnwanted(room) {
    return this.#unwanted.has(room);
  }

  /** We are in a room, perhaps in a call's. @param {Room} room */
  joined(room) {
    for (const call of this.all.values()) {
      if (call.roomId === room.id) insideOf(call).joined(room);
    }
  }

  /** @param {string} room that we have left, or never entered */
  left(room) {
    this.#unwanted.delete(room);
  }

  /**
   * A room has ended, and so has the call that led to it.
   *
   * @param {string} room
   * @param {string} reason
   */
  roomEnded(room, reason) {
    for (const call of [...this.all.values()]) {
      if (call.roomId === room) insideOf(call).end({ outcome: 'hangup', by: reason === 'leave' ? 'me' : undefined, reason });
    }
  }

  /** Another session has begun. The server knows nothing of our former calls. @param {(call: Call) => boolean} isOver */
  startSession(isOver) {
    this.#unwanted.clear();
    this.end(isOver);
  }

  /** @param {(call: Call) => boolean} matches */
  end(matches) {
    for (const call of [...this.all.values()]) {
      if (matches(call)) insideOf(call).end({ outcome: 'gone', by: undefined });
    }
  }

  /** @param {string} call */
  #hangUp(call) {
    return this.#client.request({ type: 'hangup', call });
  }
}
