// @ts-check
import { fromMessage } from './connection.js';
import { TurnpikeError } from './error.js';

/**
 * @import { ClientMessage, Numbered, ServerMessage } from './messages.js'
 * @import { Pace } from './pace.js'
 *
 * @typedef {object} Entry a message that the server may not have handled yet
 * @property {string} id
 * @property {ClientMessage} message
 * @property {boolean} sent on the connection that there is now
 * @property {((answer: any) => void) | undefined} resolve undefined if it has no answer but an error
 * @property {((error: unknown) => void) | undefined} reject
 * @property {ReturnType<typeof setTimeout> | undefined} timer runs while it is sent
 */

const ANSWER_TIMEOUT_MS = 15_000;
const MAX_WAITING = 256;
/** The server's limit, without what `id` and `received` take. */
const MAX_BYTES = (64 << 10) - 200;

/**
 * What the session has asked of the server, in order, until the server is known to have handled it. Without a connection it
 * waits; after a lost one it is sent again under the same id, by which the server knows what it has done already.
 */
export class Outbox {
  /** @type {Map<string, Entry>} by id, oldest first */
  #entries = new Map();

  /** @param {number} lastId the ids go on from there: after a reload, the server still knows the former ones */
  constructor(lastId = 0) {
    this.lastId = lastId;
  }

  get isFull() {
    return this.#entries.size >= MAX_WAITING;
  }

  /**
   * @param {ClientMessage} message
   * @returns {Promise<any>} the answer; rejects with the server's error, `timeout`, `rate-limited`, `too-long`, or what `fail` says
   */
  request(message) {
    return new Promise((resolve, reject) => {
      if (this.isFull) throw new TurnpikeError('rate-limited', 'Too many requests are waiting.');
      this.#add(message, resolve, reject);
    });
  }

  /**
   * Takes a message that has no answer. The outbox must not be full.
   *
   * @param {ClientMessage} message
   * @throws {TurnpikeError} `too-long`
   */
  tell(message) {
    this.#add(message, undefined, undefined);
  }

  /**
   * Sends what is not yet sent on this connection.
   *
   * @param {(message: ClientMessage & Numbered) => void} send
   * @param {Pace} pace
   * @returns {boolean} whether all of it is sent; the rest has to wait
   */
  flush(send, pace) {
    for (const entry of this.#entries.values()) {
      if (entry.sent) continue;
      if (!pace.take()) return false;
      this.#markSent(entry);
      send({ ...entry.message, id: entry.id });
    }
    return true;
  }

  /** The connection is lost: what was sent may or may not have arrived. */
  lost() {
    for (const entry of this.#entries.values()) {
      entry.sent = false;
      clearTimeout(entry.timer);
    }
  }

  /**
   * The session is back with nothing lost. What the server has handled is not sent again: its answer is on its way, and what
   * has no answer is done.
   *
   * @param {string | undefined} handled the id of the last that the server has handled
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
   * Another process, or another session, answers from here on. Descriptions and candidates of before would meet peers that
   * negotiate anew; everything else is asked again.
   */
  restarted() {
    for (const entry of this.#entries.values()) {
      if (!entry.resolve) this.#entries.delete(entry.id);
    }
  }

  /**
   * Takes an answer, or the news that everything without an answer has been handled up to an id.
   *
   * @param {ServerMessage} message
   * @returns {TurnpikeError | undefined} what the server says to a message that wanted no answer; if that is `rate-limited`, it is sent again
   */
  settle(message) {
    if (!('ref' in message) || message.ref === undefined) return undefined;
    const last = Number(message.ref);
    if (Number.isNaN(last)) return undefined; // `hello` and `ping` are of a connection, and tell nothing of what was asked before them.
    const answered = message.type === 'ack' ? undefined : this.#take(message.ref);
    // Requests are handled in order, so that an answer tells of those before it too.
    for (const { id, resolve } of this.#entries.values()) {
      if (Number(id) > last) break;
      if (!resolve) this.#entries.delete(id);
    }
    if (message.type !== 'error') return void answered?.resolve?.(message);
    const error = fromMessage(message);
    if (!answered || answered.reject) return void answered?.reject?.(error);
    if (error.code === 'rate-limited') this.tell(answered.message); // Under another id, as it comes after those that were not refused.
    return error;
  }

  /** Ends everything that waits. @param {unknown} error */
  fail(error) {
    for (const { id } of [...this.#entries.values()]) this.#take(id)?.reject?.(error);
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
  #add(message, resolve, reject) {
    if (new TextEncoder().encode(JSON.stringify(message)).length > MAX_BYTES) {
      throw new TurnpikeError('too-long', 'A message may have 64 KiB.');
    }
    const id = String(++this.lastId);
    this.#entries.set(id, { id, message, sent: false, resolve, reject, timer: undefined });
  }

  /** @param {Entry} entry */
  #markSent(entry) {
    entry.sent = true;
    if (!entry.resolve) return;
    const late = () => this.#take(entry.id)?.reject?.(new TurnpikeError('timeout', 'The server did not answer in time.'));
    entry.timer = setTimeout(late, ANSWER_TIMEOUT_MS);
  }

  /** @param {string} id */
  #take(id) {
    const entry = this.#entries.get(id);
    clearTimeout(entry?.timer);
    this.#entries.delete(id);
    return entry;
  }
}
