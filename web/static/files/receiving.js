// @ts-check
import { Emitter, emit } from '../sdk/emitter.js';
import { Fetching } from './fetching.js';
import { BLOCK_BYTES, ProtocolError, RefusedError, VERSION, fromBase64Url, isEqual, plain, readMessage, readStatus, whole, writeMessage } from './lines.js';
import { EntryList } from './names.js';
import { BrokenStreamError } from './stream.js';
import { RunningSum } from './sum.js';

/**
 * @import { Piece, Wanted } from './fetching.js'
 * @import { Entry } from './names.js'
 * @import { Stream } from './stream.js'
 *
 * Where files go, one after the other.
 * @typedef {object} Place
 * @property {(entry: Entry) => Promise<void>} begin a file or folder
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>} write the next bytes of it
 * @property {() => Promise<void>} end it is whole, and verified
 * @property {() => Promise<void>} abandon it will not be whole: nothing is left of it
 * @property {() => Promise<void>} close all is there
 *
 * What becomes of an entry. `at` bytes are in place, and `asked` were asked for, of `end` if that is known. `error`: it will not come.
 * @typedef {{ entry: Entry, at: number, asked: number, end: number | undefined, sum: RunningSum | undefined, state: 'waiting' | 'begun' | 'done', error: string }} Item
 *
 * @typedef {object} ReceivingEvents
 * @property {{ entries: readonly Entry[], bytes: number }} offer
 * @property {number} progress bytes that are in place
 * @property {{ entry: Entry, error: string }} failed one file will not come
 *
 * @typedef {(name: string) => Promise<Stream>} Open opens a stream to the sender
 */

const TELL_MS = 250;

/**
 * Receives what one sender offers, as docs/file-protocol.md says. It outlives the streams: `go` may be called again after they broke.
 *
 * @extends {Emitter<ReceivingEvents>}
 */
export class Receiving extends Emitter {
  /** Names the sender's list of files. */
  #session = '';
  /** @type {Item[]} */
  #items = [];
  /** The first item that may have bytes to ask for. */
  #asking = 0;
  /** How many streams for blocks there have been. */
  #lanes = 0;
  /** @type {(place: Place) => void} */
  #accept = () => {};
  /** @type {Promise<Place>} */
  #place = new Promise((resolve) => (this.#accept = resolve));
  /** @type {Stream | undefined} */
  #control;
  /** @type {RefusedError | undefined} we have ended it ourselves */
  #stopped;
  /** @type {Map<number, { resolve: (sum: string | undefined) => void, reject: (error: unknown) => void }>} by file */
  #sums = new Map();
  #toldAt = 0;
  /** @type {Promise<void> | undefined} of the place */
  #closing;
  /** The SHA-256 of the file that came last. */
  sum = new Uint8Array(0);

  /** Bytes that are in place. */
  bytes = 0;

  /** Whether all is there, but for the files that failed. */
  get isDone() {
    return this.#items.length > 0 && this.#items.every(({ state }) => state === 'done');
  }

  /** A person has agreed. @param {Place} place */
  accept(place) {
    this.#accept(place);
  }

  /**
   * Ends it, and tells the sender why.
   *
   * @param {string} message
   * @param {string} [code]
   */
  async stop(message, code) {
    this.#stopped ??= new RefusedError(message, code);
    const control = this.#control;
    if (!control || control.isBroken) return;
    await writeMessage(control, { type: 'error', error: message, ...(code && { code }) }).then(() => control.end()).catch(() => {});
  }

  /**
   * Ends it as `stop` does, and resolves once the sender has read that.
   *
   * @param {string} message
   * @param {string} [code]
   */
  async leave(message, code) {
    await this.stop(message, code);
    await this.#control?.close();
  }

  /**
   * Goes on until all is there.
   *
   * @param {Open} open
   * @throws {BrokenStreamError} call it again, with another connection
   * @throws {RefusedError | ProtocolError} it is over
   */
  async go(open) {
    if (this.#stopped) throw this.#stopped;
    const control = (this.#control = await open('files'));
    const fetching = new Fetching(() => this.#next());
    /** @type {Promise<void>} */
    let working = Promise.resolve();
    try {
      await this.#greet(control);
      const listening = this.#listen(control, fetching);
      const place = await Promise.race([this.#place, listening.then(endedTooEarly)]);
      working = this.#work(control, fetching, place, open);
      await Promise.race([working, listening.then(endedTooEarly)]);
      await writeMessage(control, { type: 'end', failed: this.#items.filter(({ error }) => error).length, skipped: 0 });
      await listening;
      await control.close();
    } catch (error) {
      fetching.fail(error);
      for (const { reject } of this.#sums.values()) reject(error);
      await working.catch(() => {}); // It may be writing, and must not go on beside the next one.
      if (this.isDone && error instanceof BrokenStreamError) await this.#close(await this.#place); // All is there: it needs no sender.
      const stopped = this.#stopped;
      if (!(error instanceof BrokenStreamError || error instanceof RefusedError || stopped)) await this.stop(error instanceof Error ? error.message : String(error));
      control.abort();
      throw stopped && !(error instanceof ProtocolError) ? stopped : error;
    }
  }

  /** @param {Stream} control */
  async #greet(control) {
    await readStatus(control);
    await writeMessage(control, { type: 'hello', version: VERSION, ...(this.#session && { session: this.#session }) });
    const list = new EntryList();
    for (let session = ''; ;) {
      const message = await readMessage(control);
      switch (message?.type) {
        case undefined: throw new BrokenStreamError();
        case 'error': throw new RefusedError(String(message.error), String(message.code ?? ''));
        case 'hello':
          session = String(message.session ?? '');
          if (this.#session !== '' && session === this.#session) return this.#restart();
          if (this.#session !== '') throw new ProtocolError('The sender has begun anew, with another list of files. Ask for a new code.');
          break;
        case 'entry':
          list.add(message);
          break;
        case 'plan':
          list.check(message);
          if (session === '') throw new ProtocolError('The sender does not name its list of files.'); // Nor could we tell another list from it.
          this.#session = session;
          this.#items = list.all.map((entry) => ({ entry, at: 0, asked: 0, end: entry.size, sum: undefined, state: 'waiting', error: '' }));
          return emit(this, 'offer', { entries: list.all, bytes: list.bytes });
      }
    }
  }

  /** What was under way is asked for again. */
  #restart() {
    for (const item of this.#items) item.asked = item.at;
    this.#asking = 0;
  }

  /**
   * Hears the sender until it says that it is over.
   *
   * @param {Stream} control
   * @param {Fetching} fetching
   */
  async #listen(control, fetching) {
    for (;;) {
      const message = await readMessage(control);
      switch (message?.type) {
        case undefined: throw this.#stopped ?? new BrokenStreamError();
        case 'end': return;
        case 'error': throw new RefusedError(String(message.error), String(message.code ?? ''));
        case 'sum': {
          this.#sums.get(message.file)?.resolve(message.sha256);
          this.#sums.delete(message.file);
          break;
        }
        case 'failed': {
          const item = this.#items[whole(message.file) ?? -1];
          if (item && item.state !== 'done') item.error ||= plain(String(message.error)) || 'the sender cannot read it';
          fetching.resume();
        }
      }
    }
  }

  /**
   * @param {Stream} control
   * @param {Fetching} fetching
   * @param {Place} place
   * @param {Open} open
   */
  async #work(control, fetching, place, open) {
    if (this.#stopped) throw this.#stopped;
    await writeMessage(control, { type: 'accept', bytes: this.#items.reduce((sum, { end = 0 }) => sum + end, 0) });
    fetching.start(() => open(`blocks/${++this.#lanes}`));
    /** @type {Piece | undefined} the next item's, which came since this one failed */
    let held;
    for (const [file, item] of this.#items.entries()) {
      if (item.state === 'done') continue;
      if (item.state === 'waiting' && !item.error) {
        await place.begin(item.entry);
        item.sum = new RunningSum();
        item.state = 'begun';
      }
      while (!item.error && item.at !== item.end) {
        const piece = held ?? (await fetching.take(() => item.error !== ''));
        held = undefined;
        if (!piece || piece.wanted.file > file) held = piece;
        else if (piece.wanted.file === file) await this.#put(control, item, place, piece);
      }
      await this.#finish(control, file, item, place);
    }
    await this.#close(place);
    await fetching.end();
  }

  /** @param {Place} place */
  #close(place) {
    return (this.#closing ??= place.close());
  }

  /**
   * @param {Stream} control
   * @param {Item} item
   * @param {Place} place
   * @param {Piece} piece
   */
  async #put(control, item, place, { wanted, bytes }) {
    if (wanted.offset !== item.at) return; // after the end of a file whose size nobody knew
    if (!bytes) {
      item.error ||= 'the sender cannot read it';
      return;
    }
    await place.write(bytes);
    item.sum?.add(bytes);
    item.at += bytes.length;
    this.bytes += bytes.length;
    if (bytes.length < wanted.length) item.end = item.at;
    emit(this, 'progress', this.bytes);
    if (performance.now() - this.#toldAt < TELL_MS) return;
    this.#toldAt = performance.now();
    await writeMessage(control, { type: 'progress', bytes: this.bytes });
  }

  /**
   * @param {Stream} control
   * @param {number} file
   * @param {Item} item
   * @param {Place} place
   */
  async #finish(control, file, item, place) {
    const { entry } = item;
    if (item.error) {
      if (item.state === 'begun') await place.abandon();
      this.bytes -= item.at;
      item.state = 'done';
      emit(this, 'failed', { entry, error: item.error });
      return writeMessage(control, { type: 'failed', file, error: item.error });
    }
    if (!entry.folder) {
      const sum = (item.sum ??= new RunningSum()).digest();
      const theirs = item.at > BLOCK_BYTES || entry.size === undefined ? await this.#askSum(control, file) : undefined;
      if (theirs && !isEqual(theirs, sum)) throw new ProtocolError(`${plain(entry.path)} is not what was sent: its check sum differs.`);
      this.sum = sum;
      item.sum = undefined;
    }
    await place.end();
    item.state = 'done';
    if (!entry.folder) await writeMessage(control, { type: 'done', file });
  }

  /**
   * @param {Stream} control
   * @param {number} file
   * @returns {Promise<Uint8Array | undefined>} undefined if the sender cannot tell
   */
  async #askSum(control, file) {
    const answer = /** @type {Promise<string | undefined>} */ (new Promise((resolve, reject) => this.#sums.set(file, { resolve, reject })));
    await writeMessage(control, { type: 'sum', file });
    const sum = await answer;
    return sum === undefined ? undefined : fromBase64Url(String(sum)) ?? new Uint8Array(0);
  }

  /** @returns {Wanted | undefined} what to ask for next */
  #next() {
    for (; this.#asking < this.#items.length; this.#asking++) {
      const item = this.#items[this.#asking];
      if (!item || item.error || item.state === 'done' || item.asked === item.end || (item.end !== undefined && item.asked > item.end)) continue;
      const offset = item.asked;
      const length = Math.min(BLOCK_BYTES, (item.end ?? Infinity) - offset);
      item.asked += length;
      return { file: this.#asking, offset, length, isOpenEnd: item.end === undefined };
    }
    return undefined;
  }
}

/** @returns {never} */
function endedTooEarly() {
  throw new ProtocolError('The sender ended before all was there.');
}
