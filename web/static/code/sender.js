// @ts-check
import { BrokenExchangeError, WrongCodeError, sendCode } from './exchange.js';
import { enter, frames, pause } from './session.js';
import { burnSlot, makeSlot, renewSlot } from './api.js';
import { reasonOf } from './sayings.js';
import { newWords } from './text.js';
import { RefusedError, refuse, writeOk } from '../files/lines.js';
import { Offer, Serving } from '../files/sending.js';
import { BrokenStreamError, Stream } from '../files/stream.js';
import { Emitter, emit } from '../sdk/emitter.js';
import { codeOf } from '../sdk/error.js';
import { say } from '../words/code.js';

/**
 * @import { CodeSession } from './session.js'
 * @import { Slot } from './api.js'
 * @import { Code } from './text.js'
 * @import { Sent } from '../files/sending.js'
 * @import { Path } from '../sdk/peer/path.js'
 * @import { Peer } from '../sdk/peer/peer.js'
 *
 * @typedef {'asking' | 'receiving' | 'interrupted' | 'done' | 'declined' | 'failed'} ReceiverState asking: a person has not agreed yet
 *
 * Somebody who has proved to know the words. missed: files that did not come, or were not wanted.
 * @typedef {{ id: string, name: string, path: Path | undefined, state: ReceiverState, bytes: number, missed: number, error: string }} Receiver
 *
 * @typedef {object} CodeSenderEvents
 * @property {{ code: Code, expires: Date }} code
 * @property {Receiver} receiver is new, or has changed
 * @property {null} wrong somebody had other words: the code admits nobody any more
 *
 * @typedef {'done' | 'wrong' | 'expired' | 'nobody'} Outcome of all; nobody: every receiver declined or failed
 */

/** While somebody receives, a slot is renewed so long before its end. */
const KEEP_MS = 300_000;
const WATCH_MS = 2000;
/** So many exchanges may wait for their turn. */
const MAX_WAITING = 16;
/** More than one side of an exchange says. It comes from strangers, and waits in memory. */
const MAX_EXCHANGE_BYTES = 1024;
const STOP_MS = 500;
/** So many may come, prove nothing and leave, before others have no place for it. */
const MAX_STRANGERS = 8;

/**
 * Sends files to those who know a code that it makes.
 *
 * @extends {Emitter<CodeSenderEvents>}
 */
export class CodeSender extends Emitter {
  #offer;
  #count;
  #ended = new AbortController();
  /** @type {Slot | undefined} */
  #slot;
  #words = newWords();
  /** @type {CodeSession | undefined} */
  #session;
  /** Nobody can prove anything any more. */
  #isBurnt = false;
  /** The exchanges go one after the other, so that nobody has two guesses at once. */
  #exchanges = Promise.resolve();
  #waiting = 0;
  /** Whose exchange is one of these. @type {Set<Peer>} */
  #proving = new Set();
  /** Who came, proved nothing, and left. */
  #strangers = 0;
  /** @type {Map<Peer, { receiver: Receiver, serving: Serving }>} who have proved to know the words */
  #proved = new Map();
  /** @type {(outcome: Outcome) => void} */
  #finish = () => {};
  /** @type {Promise<Outcome>} */
  #finished = new Promise((resolve) => (this.#finish = resolve));

  /**
   * @param {readonly Sent[]} entries
   * @param {number} count of receivers
   */
  constructor(entries, count) {
    super();
    this.#offer = new Offer(entries);
    this.#count = count;
  }

  get bytes() {
    return this.#offer.bytes;
  }

  /** @returns {boolean} whether anybody receives at the moment */
  get isBusy() {
    return [...this.#proved.values()].some(({ receiver }) => ['asking', 'receiving', 'interrupted'].includes(receiver.state));
  }

  /** Ends it, and tells those who receive. */
  async stop() {
    this.#isBurnt = true;
    const told = Promise.all([...this.#proved.values()].map(({ serving }) => serving.stop('The sender has stopped.')));
    await Promise.race([told, pause(STOP_MS, this.#ended.signal)]); // Somebody who reads nothing must not hold us up.
    this.#ended.abort();
  }

  /**
   * Resolves when all receivers have what they wanted, or nobody can come any more.
   *
   * @param {(fresh: boolean) => Promise<string>} getTicket gives our own ticket; fresh: the one before was refused
   * @returns {Promise<Outcome>}
   */
  async run(getTicket) {
    const { signal } = this.#ended;
    try {
      const slot = (this.#slot = await makeSlot(await getTicket(false), this.#count, signal).catch(async (error) => {
        if (codeOf(error) !== 'unauthorized') throw error;
        return makeSlot(await getTicket(true), this.#count, signal);
      }));
      this.#session = await enter(slot, { signal, getTicket: () => this.#freshTicket() });
      this.#session.room.eachPeer((peer, gone) => this.#meet(peer, gone));
      emit(this, 'code', { code: { slot: slot.slot, words: this.#words }, expires: new Date(slot.expires) });
      this.#watchTime(slot);
      const given = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      return await Promise.race([this.#finished, given]);
    } finally {
      await this.#burn();
      await this.#session?.client.close().catch(() => {});
      this.#ended.abort();
    }
  }

  /** Keeps the slot while somebody receives, and ends when nobody has come in time. @param {Slot} slot */
  #watchTime(slot) {
    const { signal } = this.#ended;
    let expires = Date.parse(slot.expires);
    const timer = setInterval(async () => {
      if (this.isBusy && !this.#isBurnt && Date.now() > expires - KEEP_MS) {
        expires = Infinity; // until there is an answer
        expires = (await this.#renew().then(({ expires }) => Date.parse(expires)).catch(() => 0)) || Date.now() + KEEP_MS;
      } else if (Date.now() > expires) {
        this.#isBurnt = true;
        this.#check('expired');
      }
    }, WATCH_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
  }

  /** @returns {Promise<string>} a ticket for the room of our slot, should we have to sign in anew */
  async #freshTicket() {
    return (this.#session || !this.#slot ? await this.#renew() : this.#slot).ticket;
  }

  /** @param {number} [receivers] so many more may come from now on */
  async #renew(receivers) {
    if (!this.#slot) throw new Error('There is no slot.');
    return (this.#slot = await renewSlot(this.#slot, receivers));
  }

  async #burn() {
    this.#isBurnt = true;
    if (this.#slot) await burnSlot(this.#slot).catch(() => {}); // It may have ended by itself.
  }

  /**
   * @param {Peer} peer
   * @param {AbortSignal} gone
   */
  #meet(peer, gone) {
    peer.on('channel', ({ channel }) => this.#came(peer, new Stream(channel, channel.label === 'code' ? MAX_EXCHANGE_BYTES : undefined)), { signal: gone });
    gone.addEventListener('abort', () => this.#left(peer));
  }

  /**
   * @param {Peer} peer
   * @param {Stream} stream that the peer has opened
   */
  #came(peer, stream) {
    if (stream.name === 'code') {
      if (this.#waiting >= MAX_WAITING || this.#proving.has(peer)) return void refuse(stream, 'too many want to prove something at the moment');
      this.#waiting++;
      this.#proving.add(peer);
      this.#exchanges = this.#exchanges.then(() => this.#prove(peer, stream)).catch((error) => console.warn('an exchange:', error)).finally(() => {
        this.#waiting--;
        this.#proving.delete(peer);
      });
      return;
    }
    const known = this.#proved.get(peer);
    if (!known) return void refuse(stream, 'you have not proved that you know the words of the code');
    if (stream.name === 'files') return void this.#serve(known, stream);
    if (/^blocks\/[1-9]\d*$/.test(stream.name)) return void known.serving.serveBlocks(stream).catch((error) => console.warn(`${stream.name}:`, error));
    refuse(stream, 'this page sends files and takes no such stream');
  }

  /**
   * @param {Peer} peer
   * @param {Stream} stream
   */
  async #prove(peer, stream) {
    const binding = await this.#session?.pinning.bind(peer);
    if (this.#isBurnt || !binding || (!this.#proved.has(peer) && this.#awaited <= 0)) return refuse(stream, 'this code was used');
    try {
      await writeOk(stream);
      await sendCode({ words: this.#words, binding, ...frames(stream) });
      stream.close();
    } catch (error) {
      stream.close();
      if (error instanceof WrongCodeError || error instanceof BrokenExchangeError) await this.#guessed();
      return;
    }
    if (this.#proved.has(peer)) return;
    const serving = new Serving(this.#offer);
    /** @type {Receiver} */
    const receiver = { id: peer.id, name: peer.name, path: peer.path, state: 'asking', bytes: 0, missed: 0, error: '' };
    this.#proved.set(peer, { receiver, serving });
    peer.on('path', (path) => this.#change(receiver, { path }));
    serving.on('accepted', () => this.#change(receiver, { state: 'receiving' }));
    serving.on('progress', (bytes) => this.#change(receiver, { bytes }));
    this.#change(receiver, {});
  }

  /** Somebody had other words. */
  async #guessed() {
    await this.#burn();
    emit(this, 'wrong', null);
    this.#check('wrong');
  }

  /**
   * @param {{ receiver: Receiver, serving: Serving }} known
   * @param {Stream} control
   */
  async #serve({ receiver, serving }, control) {
    try {
      const outcome = await serving.serve(control);
      this.#change(receiver, { state: outcome, missed: serving.missed });
    } catch (error) {
      if (serving.isServing || !['asking', 'receiving'].includes(receiver.state)) return; // Another stream has taken this one's place.
      if (error instanceof BrokenStreamError) this.#change(receiver, { state: 'interrupted' });
      else this.#fail(receiver, error instanceof RefusedError ? reasonOf(error) : say('code.broken'));
    }
    this.#check('nobody');
  }

  /** @param {Peer} peer */
  #left(peer) {
    const receiver = this.#proved.get(peer)?.receiver;
    if (!receiver) {
      this.#strangers++;
      return this.#reopen();
    }
    if (!['asking', 'receiving', 'interrupted'].includes(receiver.state)) return;
    this.#fail(receiver, say('code.went-away'));
    this.#check('nobody');
  }

  /**
   * They may come again by the same code.
   *
   * @param {Receiver} receiver
   * @param {string} error
   */
  #fail(receiver, error) {
    this.#change(receiver, { state: 'failed', error });
    this.#reopen();
  }

  /** Has the server let others come in the place of somebody who left. */
  #reopen() {
    if (this.#isBurnt || this.#awaited <= 0) return;
    const there = [...(this.#session?.room.peers.values() ?? [])].filter((peer) => !this.#proved.has(peer)); // They have taken places already.
    const lost = Math.max(0, this.#strangers - MAX_STRANGERS);
    this.#renew(Math.max(0, this.#awaited - there.length - lost)).catch(() => {});
  }

  /**
   * @param {Receiver} receiver
   * @param {Partial<Receiver>} change
   */
  #change(receiver, change) {
    emit(this, 'receiver', Object.assign(receiver, change));
  }

  /** How many may still come. */
  get #awaited() {
    return this.#count - [...this.#proved.values()].filter(({ receiver }) => receiver.state !== 'failed').length;
  }

  /** Ends if nobody receives, and nobody can come. @param {Outcome} otherwise if nobody has anything */
  #check(otherwise) {
    if (this.isBusy || (this.#awaited > 0 && !this.#isBurnt)) return;
    const hasSent = [...this.#proved.values()].some(({ receiver }) => receiver.state === 'done');
    this.#finish(hasSent ? 'done' : otherwise);
  }
}
