// @ts-check
import { Emitter, emit } from '../emitter.js';
import { TurnpikeError, codeOf } from '../error.js';

/**
 * @import { User } from '../server/messages.js'
 * @import { Room, RoomClient } from './room.js'
 *
 * @typedef {object} CallEvents
 * @property {{ room: Room }} accept both are in the room now
 * @property {{ reason: string }} decline
 * @property {{ reason: string }} cancel reason: cancelled, timeout, answered-elsewhere, gone
 * @property {{ reason: string }} hangup reason: hangup, or why the room was left
 * @property {{ event: 'decline' | 'cancel' | 'hangup', reason: string }} end follows each of the three events above
 */

/**
 * A ring from one user to another, which leads to a room of two or to nothing. A new call rings. `client.call()` resolves
 * with an outgoing call; the client's `call` event brings an incoming one.
 *
 * @extends {Emitter<CallEvents>}
 */
export class Call extends Emitter {
  #client;
  /** @type {(room: Room) => void} */
  #resolveRoom = () => {};
  /** @type {(error: unknown) => void} */
  #rejectRoom = () => {};
  /** @type {Promise<Room>} */
  #room = new Promise((resolve, reject) => {
    this.#resolveRoom = resolve;
    this.#rejectRoom = reject;
  });

  /**
   * @param {RoomClient} client
   * @param {string} id
   * @param {'incoming' | 'outgoing'} direction
   * @param {User} user the other one
   */
  constructor(client, id, direction, user) {
    super();
    this.#client = client;
    this.#room.catch(() => {}); // Usually no caller waits for the room of a call that ends.
    this.id = id;
    this.direction = direction;
    this.user = user;
    /** @type {'ringing' | 'accepted' | 'ended'} */
    this.state = 'ringing';
    /** @type {string | undefined} the id of the room that the call led to */
    this.roomId = undefined;
  }

  /**
   * Accepts an incoming call.
   *
   * @returns {Promise<Room>} the room that both are in
   */
  async accept() {
    await this.#client.request({ type: 'accept', call: this.id });
    return this.#room;
  }

  /** Refuses an incoming call. */
  async decline() {
    await this.#finish('decline', 'declined');
  }

  /** Cancels an outgoing call while it rings. An answered call must be hung up instead. */
  async cancel() {
    if (this.state === 'ringing') await this.#finish('cancel', 'cancelled');
  }

  /** Ends an accepted call, for both. */
  async hangup() {
    await this.#finish('hangup', 'hangup');
  }

  /**
   * @param {'decline' | 'cancel' | 'hangup'} type
   * @param {string} reason
   */
  async #finish(type, reason) {
    if (this.state === 'ended') return;
    const answer = this.#client.request({ type, call: this.id });
    const room = this.roomId;
    this.end(type, reason);
    // A server that has restarted knows of no calls. Then we must leave the call's room.
    await answer.catch((error) => codeOf(error) === 'no-such-call' && room && this.#client.request({ type: 'leave', room })).catch(() => {});
  }

  // The methods below are for Client.

  /** @param {string} roomId */
  accepted(roomId) {
    if (this.state === 'ringing') this.state = 'accepted';
    this.roomId = roomId;
  }

  /** @param {Room} room */
  joined(room) {
    this.#resolveRoom(room);
    emit(this, 'accept', { room });
  }

  /**
   * @param {'decline' | 'cancel' | 'hangup'} event
   * @param {string} reason
   */
  end(event, reason) {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.#client.calls.delete(this.id);
    this.#rejectRoom(new TurnpikeError('no-such-call', 'The call has ended.'));
    if (event === 'hangup' && this.roomId) this.#client.rooms.get(this.roomId)?.end(reason);
    emit(this, event, { reason });
    emit(this, 'end', { event, reason });
  }
}
