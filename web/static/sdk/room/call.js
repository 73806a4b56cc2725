// @ts-check
import { abortable } from '../abortable.js';
import { Emitter, changed, describe, emit } from '../emitter.js';
import { TurnpikeError, codeOf } from '../error.js';

/**
 * @import { User } from '../server/messages.js'
 * @import { Abortable, Room, RoomClient } from './room.js'
 *
 * @typedef {'declined' | 'cancelled' | 'timeout' | 'answered-elsewhere' | 'gone' | 'hangup'} CallOutcome timeout: nobody answered;
 * answered-elsewhere: another session of ours did; gone: somebody lost the connection while it rang; hangup: it was answered, and is over
 *
 * @typedef {object} CallEnd
 * @property {CallOutcome} outcome
 * @property {'me' | 'them' | undefined} by who ended it; undefined if nobody did on purpose
 * @property {string | undefined} [reason] what they said when they declined; or why the room of the call was left
 *
 * @typedef {object} CallEvents
 * @property {{ room: Room }} answered both are in the room now
 * @property {CallEnd} ended
 *
 * @typedef {Readonly<{ id: string, state: 'ringing' | 'answered' | 'ended', user: User, data: unknown }>} CallSnapshot
 *
 * @typedef {object} CallInside
 * @property {(roomId: string) => void} accepted
 * @property {(room: Room) => void} joined
 * @property {(end: CallEnd) => void} end
 */

/** @type {Record<CallOutcome, string>} */
const WHY = {
  'declined': 'They declined.',
  'cancelled': 'The caller took the call back.',
  'timeout': 'Nobody answered.',
  'answered-elsewhere': 'The call was answered elsewhere.',
  'gone': 'The connection was lost while it rang.',
  'hangup': 'The call is over.',
};

/**
 * What only the SDK may do with a call.
 *
 * @type {(call: Call) => CallInside}
 */
export let insideOf;

/**
 * A ring from one user to another, which leads to a room of two or to nothing. `client.call()` resolves with an outgoing call
 * that rings; the client's `call` event brings an incoming one.
 *
 * @extends {Emitter<CallEvents, CallSnapshot>}
 */
export class Call extends Emitter {
  #client;
  /** @type {'ringing' | 'answered' | 'ended'} */
  #state = 'ringing';
  /** @type {string | undefined} */
  #roomId;
  /** @type {(room: Room) => void} */
  #resolveAnswered = () => {};
  /** @type {(error: unknown) => void} */
  #rejectAnswered = () => {};
  /** @type {(end: CallEnd) => void} */
  #resolveEnded = () => {};

  static {
    insideOf = (call) => ({
      accepted: (roomId) => call.#accepted(roomId),
      joined: (room) => call.#joined(room),
      end: (end) => call.#end(end),
    });
  }

  /**
   * @internal
   * @param {RoomClient} client
   * @param {string} id
   * @param {'incoming' | 'outgoing'} direction
   * @param {User} user the other one
   * @param {unknown} [data] that the caller has given
   */
  constructor(client, id, direction, user, data) {
    super();
    this.#client = client;
    this.id = id;
    this.direction = direction;
    this.user = user;
    this.data = data;
    describe(this, () => ({ id, state: this.#state, user, data }));
    /**
     * The room, once somebody has answered. Rejects with the outcome as its code: `declined`, `timeout`, `cancelled`,
     * `answered-elsewhere`, `gone`.
     *
     * @type {Promise<Room>}
     */
    this.answered = new Promise((resolve, reject) => {
      this.#resolveAnswered = resolve;
      this.#rejectAnswered = reject;
    });
    this.answered.catch(() => {}); // An app need not wait for it.
    /** @type {Promise<CallEnd>} how it ended, whether it was answered or not; never rejects */
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
  }

  /** Whether it rings, was answered, or has ended. */
  get state() {
    return this.#state;
  }

  /** @returns {string | undefined} the id of the room that the call led to */
  get roomId() {
    return this.#roomId;
  }

  /**
   * Answers an incoming call.
   *
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Room>} the room that both are in
   * @throws {TurnpikeError} `no-such-call`, `busy`, or an outcome
   */
  async accept({ signal } = {}) {
    signal?.throwIfAborted();
    const accepting = this.#client.request({ type: 'accept', call: this.id }).then(() => this.answered);
    return abortable(accepting, signal, () => this.hangup());
  }

  /**
   * Refuses an incoming call.
   *
   * @param {string} [reason] for the caller to read, up to 200 characters
   * @param {Abortable} [options]
   */
  async decline(reason, { signal } = {}) {
    if (this.#state === 'ringing') await this.#finish({ type: 'decline', reason }, { outcome: 'declined', by: 'me', reason }, signal);
  }

  /** Cancels an outgoing call while it rings. An answered call must be hung up instead. @param {Abortable} [options] */
  async cancel({ signal } = {}) {
    if (this.#state === 'ringing') await this.#finish({ type: 'cancel' }, { outcome: 'cancelled', by: 'me' }, signal);
  }

  /** Ends the call for both, whatever its state is. @param {Abortable} [options] */
  async hangup(options = {}) {
    if (this.#state === 'ringing') return this.direction === 'incoming' ? this.decline(undefined, options) : this.cancel(options);
    await this.#finish({ type: 'hangup' }, { outcome: 'hangup', by: 'me' }, options.signal);
  }

  /**
   * @param {{ type: 'decline', reason: string | undefined } | { type: 'cancel' | 'hangup' }} message
   * @param {CallEnd} end
   * @param {AbortSignal | undefined} signal
   */
  async #finish(message, end, signal) {
    if (this.#state === 'ended') return;
    const answer = this.#client.request({ ...message, call: this.id });
    const room = this.#roomId;
    this.#end(end);
    // A server that has restarted knows of no calls. Then we must leave the call's room.
    const known = answer.catch((error) => codeOf(error) === 'no-such-call' && room && this.#client.request({ type: 'leave', room })).catch(() => {});
    await abortable(known, signal);
  }

  /** @param {string} roomId */
  #accepted(roomId) {
    if (this.#state === 'ringing') this.#state = 'answered';
    this.#roomId = roomId;
    changed(this);
  }

  /** @param {Room} room */
  #joined(room) {
    this.#resolveAnswered(room);
    emit(this, 'answered', { room });
  }

  /** @param {CallEnd} end */
  #end(end) {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#client.calls.delete(this.id);
    this.#client.changed();
    this.#rejectAnswered(new TurnpikeError(end.outcome, end.reason || WHY[end.outcome]));
    if (this.#roomId && end.outcome === 'hangup') this.#client.leftRoom(this.#roomId, end.reason ?? 'hangup');
    this.#resolveEnded(end);
    emit(this, 'ended', end);
  }
}
