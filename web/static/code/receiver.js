// @ts-check
import { BrokenExchangeError, WrongCodeError, receiveCode } from './exchange.js';
import { connected, enter, frames, openStream, pause } from './session.js';
import { takeSlot } from './api.js';
import { readStatus, refuse } from '../files/lines.js';
import { Receiving } from '../files/receiving.js';
import { BrokenStreamError, Stream } from '../files/stream.js';
import { Emitter, emit } from '../sdk/emitter.js';

/**
 * @import { CodeSession } from './session.js'
 * @import { Code } from './text.js'
 * @import { Entry } from '../files/names.js'
 * @import { Place } from '../files/receiving.js'
 * @import { Path } from '../sdk/peer/path.js'
 * @import { Peer } from '../sdk/peer/peer.js'
 *
 * @typedef {object} CodeReceiverEvents
 * @property {{ name: string, entries: readonly Entry[], bytes: number }} offer the sender has proved that it knows the words
 * @property {Path | undefined} path to the sender
 * @property {number} progress bytes that are in place
 * @property {{ entry: Entry, error: string }} failed one file will not come
 * @property {null} interrupted it goes on by itself
 * @property {null} resumed
 */

/** Why there is nothing to receive, beside the errors of the API and of the files. */
export class CodeError extends Error {
  /** @param {'wrong-code' | 'no-sender' | 'sender-gone'} code */
  constructor(code) {
    super(code);
    this.name = 'CodeError';
    this.code = code;
  }
}

/** A sender who is there answers sooner, over any line. */
const SENDER_MS = 30_000;
/** One that knows of codes says soon whether it takes ours. */
const ANSWER_MS = 10_000;
const AGAIN_MS = 500;

/**
 * Receives what somebody sends by a code.
 *
 * @extends {Emitter<CodeReceiverEvents>}
 */
export class CodeReceiver extends Emitter {
  #code;
  #ended = new AbortController();
  #receiving = new Receiving();
  /** @type {CodeSession | undefined} */
  #session;
  /** Why the sender went. @type {AbortController} */
  #gone = new AbortController();

  /** @param {Code} code */
  constructor(code) {
    super();
    this.#code = code;
    this.#receiving.on('progress', (bytes) => emit(this, 'progress', bytes));
    this.#receiving.on('failed', (failed) => emit(this, 'failed', failed));
  }

  /** The SHA-256 of the file that came last. */
  get sum() {
    return this.#receiving.sum;
  }

  /** A person has agreed. @param {Place} place */
  accept(place) {
    this.#receiving.accept(place);
  }

  /** Ends it, and tells the sender why. @param {string} message @param {string} [code] */
  async stop(message, code) {
    await Promise.race([this.#receiving.stop(message, code), pause(AGAIN_MS, this.#ended.signal)]);
    this.#ended.abort();
  }

  /**
   * Resolves when all is there.
   *
   * @param {string} name ours, that the sender sees
   * @throws {CodeError | Error}
   */
  async run(name) {
    const { signal } = this.#ended;
    try {
      const slot = await takeSlot(this.#code.slot, name, signal);
      this.#session = await enter(slot, { signal });
      this.#session.room.eachPeer((peer, gone) => {
        peer.on('channel', ({ channel }) => void refuse(new Stream(channel), 'this page receives files, and takes no streams'), { signal: gone });
      });
      const peer = await this.#findSender(this.#session);
      await this.#receiveFrom(peer);
    } finally {
      await this.#session?.client.close().catch(() => {});
      this.#ended.abort();
    }
  }

  /**
   * The one of the others who knows the words. The others are receivers, as we are.
   *
   * @param {CodeSession} session
   */
  async #findSender({ room }) {
    const { signal } = this.#ended;
    const late = AbortSignal.timeout(SENDER_MS);
    const given = AbortSignal.any([signal, late]);
    /** @type {Set<Peer>} */
    const asked = new Set();
    while (!given.aborted) {
      const peer = [...room.peers.values()].find((one) => !asked.has(one) && !one.isMediaLess);
      if (!peer) {
        await Promise.race([room.once('peer-joined', { signal: given }).catch(() => {}), pause(AGAIN_MS, given)]);
        continue;
      }
      const gone = new AbortController();
      room.on('peer-left', (left) => left.peer === peer && gone.abort(), { signal });
      asked.add(peer);
      try {
        await connected(peer, AbortSignal.any([given, gone.signal]));
        await this.#prove(peer);
        this.#gone = gone;
        return peer;
      } catch (error) {
        if (error instanceof WrongCodeError || error instanceof BrokenExchangeError) throw new CodeError('wrong-code');
        signal.throwIfAborted();
      }
    }
    signal.throwIfAborted();
    throw new CodeError('no-sender');
  }

  /** Both prove that they know the words. @param {Peer} peer */
  async #prove(peer) {
    if (!this.#session) throw new Error('There is no session.');
    const binding = await this.#session.pinning.bind(peer);
    const stream = openStream(peer, 'code');
    const late = setTimeout(() => stream.abort(), ANSWER_MS);
    try {
      await readStatus(stream);
      clearTimeout(late);
      await receiveCode({ words: this.#code.words, binding, ...frames(stream) });
    } finally {
      clearTimeout(late);
      stream.close(); // In order, since an error that the other side must hear of may be under way.
    }
  }

  /** @param {Peer} peer */
  async #receiveFrom(peer) {
    const { signal } = this.#ended;
    const [gone, receiving] = [this.#gone.signal, this.#receiving];
    const either = AbortSignal.any([signal, gone]);
    receiving.on('offer', ({ entries, bytes }) => emit(this, 'offer', { name: peer.name, entries, bytes }));
    peer.on('path', (path) => emit(this, 'path', path), { signal });
    emit(this, 'path', peer.path);
    for (let tries = 0; ; tries++) {
      try {
        await connected(peer, either);
        if (tries > 0) emit(this, 'resumed', null);
        await receiving.go(async (name) => openStream(peer, name));
        return;
      } catch (error) {
        if (receiving.isDone && error instanceof BrokenStreamError) return; // Only the farewell is missing.
        signal.throwIfAborted();
        if (gone.aborted) throw new CodeError('sender-gone');
        if (!(error instanceof BrokenStreamError)) throw error;
        emit(this, 'interrupted', null);
        await pause(AGAIN_MS, either);
      }
    }
  }
}
