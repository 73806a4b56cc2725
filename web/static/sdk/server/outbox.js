// @ts-check
import { TurnpikeError } from '../error.js';
import { patience } from './backoff.js';
import { errorFrom } from './messages.js';

/**
 * @import { ClientMessage, Numbered, ServerMessage } from './messages.js'
 *
 * @typedef {object} Entry a message that the server may not have handled yet
 * @property {string} id
 * @property {ClientMessage} message
 * @property {boolean} sent on the present socket
 * @property {((answer: any) => void) | undefined} resolve undefined if the server answers only with an error, or not at all
 * @property {((error: unknown) => void) | undefined} reject
 * @property {(() => void) | undefined} stopWaiting for the answer
 */

const ANSWER_TIMEOUT_MS = 15_000;
const MAX_WAITING = 256;
/** The server's limit, less the room for `id` and `received`. */
const MAX_BYTES = (64 << 10) - 200;
/**
 * The pace stays well within the server's limits (see Limits in signal/PROTOCOL.md). A network may hold messages back and
 * deliver them all at once.
 */
const AT_ONCE = 100;
const PER_SECOND = 30;

/**
 * The session's messages to the server, in order. Each stays here until the server is known to have handled it. Without a
 * socket it waits. After a lost socket it is sent again under the same id, by which the server recognizes it.
 */
export class Outbox {
  /** @type {Map<string, Entry>} by id, oldest first */
  #entries = new Map();
  /** How many messages may be sent at this moment. */
  #allowance = AT_ONCE;
  #allowanceAt = performance.now();

  /** @param {number} lastId the ids go on from there: after a reload, the server still knows the former ones */
  constructor(lastId = 0) {
    this.lastId = lastId;
  }

  get isFull() {
    return this.#entries.size >= MAX_WAITING;
  }

  /**
   * @param {ClientMessage} message
   * @returns {Promise<any>} the answer
   * @throws {TurnpikeError} the server's, `timeout`, `rate-limited`, `too-long`, or the error that `fail` was given
   */
  request(message) {
    return new Promise((resolve, reject) => {
      if (this.isFull) throw new TurnpikeError('rate-limited', 'Too many requests are waiting.');
      this.#append(message, resolve, reject);
    });
  }

  /**
   * Adds a message that has no answer. The outbox must not be full.
   *
   * @param {ClientMessage} message
   * @throws {TurnpikeError} `too-long`
   */
  enqueue(message) {
    this.#append(message, undefined, undefined);
  }

  /**
   * Sends the messages that have not been sent on the present socket.
   *
   * @param {(message: ClientMessage & Numbered) => void} send
   * @returns {boolean} false if the pace does not allow all of them yet
   */
  flush(send) {
    for (const entry of this.#entries.values()) {
      if (entry.sent) continue;
      if (!this.#useAllowance()) return false;
      this.#markSent(entry);
      send({ ...entry.message, id: entry.id });
    }
    return true;
  }

  /** The socket is lost: its messages may or may not have arrived. */
  lost() {
    for (const entry of this.#entries.values()) {
      entry.sent = false;
      entry.stopWaiting?.();
    }
  }

  /**
   * The session is back with nothing lost. Messages that the server has handled are not sent again. Their answers are on
   * their way; those without an answer are done.
   *
   * @param {string | undefined} handled the id of the last message that the server has handled
   */
  replayed(handled) {
    const last = Number(handled) || 0;
    for (const entry of this.#entries.values()) {
      if (Number(entry.id) > last) return;
      if (entry.resolve) this.#markSent(entry);
      else this.#entries.delete(entry.id);
    }
  }

  /**
   * Another process, or another session, answers from now on. The peers negotiate anew, so descriptions and candidates
   * from before are dropped. Requests are sent again.
   */
  restarted() {
    for (const entry of this.#entries.values()) {
      if (!entry.resolve) this.#entries.delete(entry.id);
    }
  }

  /**
   * Settles the request that a message answers. An `ack` settles the messages without an answer, up to its id.
   *
   * @param {ServerMessage} message
   * @returns {TurnpikeError | undefined} the server's error for a message without an answer. After `rate-limited` the
   *   message is queued again.
   */
  settle(message) {
    if (!('ref' in message) || message.ref === undefined) return undefined;
    const last = Number(message.ref);
    if (Number.isNaN(last)) return undefined; // `hello` and `ping` belong to a socket, and say nothing about requests.
    const answered = message.type === 'ack' ? undefined : this.#remove(message.ref);
    // The server handles messages in order: an answer covers the messages before it.
    for (const { id, resolve } of this.#entries.values()) {
      if (Number(id) > last) break;
      if (!resolve) this.#entries.delete(id);
    }
    if (message.type !== 'error') return void answered?.resolve?.(message);
    const error = errorFrom(message);
    if (!answered || answered.reject) return void answered?.reject?.(error);
    if (error.code === 'rate-limited') this.enqueue(answered.message); // Under a new id: later messages were not refused.
    return error;
  }

  /** Rejects every request that waits. @param {unknown} error */
  fail(error) {
    for (const { id } of [...this.#entries.values()]) this.#remove(id)?.reject?.(error);
  }

  /**
   * @param {(message: ClientMessage) => boolean} matches
   * @returns {boolean} whether such a message waits
   */
  has(matches) {
    return [...this.#entries.values()].some(({ message }) => matches(message));
  }

  /**
   * @param {ClientMessage} message
   * @param {Entry['resolve']} resolve
   * @param {Entry['reject']} reject
   */
  #append(message, resolve, reject) {
    if (new TextEncoder().encode(JSON.stringify(message)).length > MAX_BYTES) {
      throw new TurnpikeError('too-long', 'A message may have 64 KiB.');
    }
    const id = String(++this.lastId);
    this.#entries.set(id, { id, message, sent: false, resolve, reject, stopWaiting: undefined });
  }

  /** @returns {boolean} whether one more message may be sent now */
  #useAllowance() {
    const now = performance.now();
    this.#allowance = Math.min(AT_ONCE, this.#allowance + ((now - this.#allowanceAt) / 1000) * PER_SECOND);
    this.#allowanceAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  /** @param {Entry} entry */
  #markSent(entry) {
    entry.sent = true;
    if (!entry.resolve) return;
    const late = () => this.#remove(entry.id)?.reject?.(new TurnpikeError('timeout', 'The server did not answer in time.'));
    entry.stopWaiting = patience(ANSWER_TIMEOUT_MS, late);
  }

  /** @param {string} id */
  #remove(id) {
    const entry = this.#entries.get(id);
    entry?.stopWaiting?.();
    this.#entries.delete(id);
    return entry;
  }
}
