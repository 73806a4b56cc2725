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
 * Somebody who has taken the stream for a proof.
 * @typedef {{ peer: Peer, stream: Stream, binding: Uint8Array<ArrayBuffer> }} Answer
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
/** For those who were asked less often, where others are there. */
const OTHERS_MS = 5000;
/** One that knows of codes says soon whether it takes ours. */
const ANSWER_MS = 10_000;
const AGAIN_MS = 500;
/** For the sender to hear that we stop, before the connection ends. */
const STOP_MS = 3000;

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
    await Promise.race([this.#receiving.leave(message, code), pause(STOP_MS, this.#ended.signal)]);
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
   * The one of the others who knows the words. The others are receivers, as we are, or strangers.
   *
   * @param {CodeSession} session
   */
  async #findSender(session) {
    const { room } = session;
    const { signal } = this.#ended;
    const given = AbortSignal.any([signal, AbortSignal.timeout(SENDER_MS)]);
    /** @type {WeakMap<Peer, number>} how often somebody was asked */
    const asked = new WeakMap();
    const times = (/** @type {Peer} */ peer) => asked.get(peer) ?? 0;
    while (!given.aborted) {
      const peers = [...room.peers.values()].filter((one) => !one.isMediaLess);
      const least = Math.min(...peers.map(times));
      const likeliest = peers.filter((one) => times(one) === least); // A stranger who takes the stream must not keep us from the sender.
      const answer = await this.#ask(session, likeliest, given, likeliest.length < peers.length ? OTHERS_MS : SENDER_MS);
      for (const peer of answer ? [answer.peer] : answer === undefined ? likeliest : []) asked.set(peer, times(peer) + 1);
      if (answer && (await this.#prove(answer))) return answer.peer;
      if (answer !== null) await Promise.race([room.once('peer-joined', { signal: given }).catch(() => {}), pause(AGAIN_MS, given)]);
    }
    signal.throwIfAborted();
    throw new CodeError('no-sender');
  }

  /**
   * Asks all at once for a proof. Each proof gives away one guess, and so it begins with the first alone who takes it.
   *
   * @param {CodeSession} session
   * @param {Peer[]} peers
   * @param {AbortSignal} given
   * @param {number} ms for all of them
   * @returns {Promise<Answer | undefined | null>} undefined: nobody takes it; null: somebody else has come
   */
  async #ask(session, peers, given, ms) {
    const over = new AbortController();
    const late = setTimeout(() => over.abort(), ms);
    const stop = AbortSignal.any([given, over.signal]);
    const answers = peers.map(async (peer) => {
      const answer = await this.#askOne(session, peer, stop);
      over.abort(); // the others
      return answer;
    });
    const news = session.room.once('peer-joined', { signal: stop }).then(() => null, () => /** @type {Promise<null>} */ (new Promise(() => {})));
    const first = await Promise.race([Promise.any(answers).catch(() => undefined), news]);
    clearTimeout(late);
    over.abort();
    for (const answer of answers) answer.then((one) => one !== first && one.stream.abort(), () => {});
    return first;
  }

  /**
   * @param {CodeSession} session
   * @param {Peer} peer
   * @param {AbortSignal} stop
   * @returns {Promise<Answer>}
   */
  async #askOne({ pinning }, peer, stop) {
    await connected(peer, stop);
    const binding = await pinning.bind(peer);
    stop.throwIfAborted();
    const stream = openStream(peer, 'code');
    const giveUp = () => stream.abort();
    const slow = setTimeout(giveUp, ANSWER_MS);
    stop.addEventListener('abort', giveUp);
    try {
      await readStatus(stream);
      stop.throwIfAborted();
      return { peer, stream, binding };
    } catch (error) {
      stream.abort();
      throw error;
    } finally {
      clearTimeout(slow);
      stop.removeEventListener('abort', giveUp);
    }
  }

  /**
   * Both prove that they know the words.
   *
   * @param {Answer} answer
   * @returns {Promise<boolean>} false: somebody else may be the sender
   */
  async #prove({ peer, stream, binding }) {
    if (!this.#session) throw new Error('There is no session.');
    const gone = new AbortController();
    this.#session.room.on('peer-left', (left) => left.peer === peer && gone.abort(), { signal: this.#ended.signal });
    try {
      await receiveCode({ words: this.#code.words, binding, ...frames(stream) });
      this.#gone = gone;
      return true;
    } catch (error) {
      if (error instanceof WrongCodeError || error instanceof BrokenExchangeError) throw new CodeError('wrong-code');
      this.#ended.signal.throwIfAborted();
      return false;
    } finally {
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
