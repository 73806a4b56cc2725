// @ts-check
import { Emitter, emit } from '../sdk/emitter.js';
import { BLOCK_BYTES, MAX_HASHES, NOTHING, ProtocolError, REQUEST_BYTES, RefusedError, VERSION, fromBase64Url, isEqual, packRange, plain, readMessage, refuse, sha256, toBase64Url, unpackRange, whole, writeMessage, writeOk } from './lines.js';
import { BrokenStreamError } from './stream.js';
import { RunningSum } from './sum.js';

/**
 * @import { Range } from './lines.js'
 * @import { Stream } from './stream.js'
 *
 * What is sent: a file, or a folder, which has none.
 * @typedef {{ path: string, file?: File }} Sent
 *
 * @typedef {object} ServingEvents
 * @property {null} accepted the receiver takes it
 * @property {number} progress bytes that the receiver has
 *
 * @typedef {'done' | 'declined'} Outcome
 */

/** The smaller pieces of which a receiver says that it has them. */
const SMALL_PIECE = 65_536;
/** Eight streams for blocks, and those that are about to end. */
const MAX_LANES = 20;

/** The files that somebody has chosen, for as many receivers as come. Each is read when it is asked for. */
export class Offer {
  /** Names this list, so that a receiver who comes again can tell. */
  session = crypto.randomUUID();
  /** @type {Map<number, RunningSum>} by file: what was read in order is in its sum already */
  #sums = new Map();
  /** The file that was read last. */
  #latest = -1;

  /** @param {readonly Sent[]} entries folders before what is in them */
  constructor(entries) {
    this.entries = entries;
    this.bytes = entries.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
  }

  /**
   * @param {Range} range
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws if the file is gone or has changed
   */
  async read({ file, offset, length }) {
    const bytes = await this.#read(file, offset, length);
    if ((this.entries[file]?.file?.size ?? 0) <= BLOCK_BYTES) return bytes; // Nobody asks for its sum.
    if (file !== this.#latest) this.#sums.get(this.#latest)?.forget();
    this.#latest = file;
    this.#sumOf(file).addAt(offset, bytes);
    return bytes;
  }

  /** The SHA-256 of a whole file. What nobody has asked for in order is read now. @param {number} file */
  async sum(file) {
    const sum = this.#sumOf(file);
    const size = this.entries[file]?.file?.size ?? 0;
    while (sum.at < size) {
      const { at } = sum;
      const bytes = await this.#read(file, at, Math.min(BLOCK_BYTES, size - at));
      sum.addAt(at, bytes); // Unless another receiver has had it added meanwhile.
    }
    return sum.digest();
  }

  /** @param {number} file */
  #sumOf(file) {
    const sum = this.#sums.get(file) ?? new RunningSum();
    this.#sums.set(file, sum);
    return sum;
  }

  /**
   * @param {number} file
   * @param {number} offset
   * @param {number} length
   */
  async #read(file, offset, length) {
    const blob = this.entries[file]?.file?.slice(offset, offset + length);
    const bytes = new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(0));
    if (bytes.length !== length) throw new Error('It is shorter than it was.');
    return bytes;
  }
}

/**
 * Serves an offer to one receiver, which says what it lacks. It outlives the streams.
 *
 * @extends {Emitter<ServingEvents>}
 */
export class Serving extends Emitter {
  #offer;
  /** @type {Stream | undefined} */
  #control;
  /** @type {Set<Stream>} */
  #lanes = new Set();
  /** @type {Set<number>} files that we could not read */
  #failed = new Set();
  #stopped = '';
  /** Files that the receiver could not have, or did not want. */
  missed = 0;

  /** @param {Offer} offer */
  constructor(offer) {
    super();
    this.#offer = offer;
  }

  /** Whether there is a stream `files`. */
  get isServing() {
    return this.#control !== undefined;
  }

  /**
   * Speaks with the receiver on a new stream `files`, in the place of the one before.
   *
   * @param {Stream} control
   * @returns {Promise<Outcome>}
   * @throws {BrokenStreamError} the receiver may come again
   * @throws {RefusedError | ProtocolError} it is over
   */
  async serve(control) {
    this.#end();
    this.#control = control;
    this.#failed.clear(); // The receiver may not have heard of them, and another attempt may succeed.
    try {
      await writeOk(control);
      const outcome = await this.#converse(control);
      await control.close();
      return outcome;
    } catch (error) {
      if (!this.#stopped && error instanceof ProtocolError) await writeMessage(control, { type: 'error', error: error.message }).catch(() => {});
      if (!(error instanceof RefusedError)) control.abort();
      throw error;
    } finally {
      if (this.#control === control) this.#end();
    }
  }

  /** Answers the requests on a stream `blocks/N`. @param {Stream} lane */
  async serveBlocks(lane) {
    if (this.#lanes.size >= MAX_LANES) return refuse(lane, 'there are too many streams for blocks');
    this.#lanes.add(lane);
    try {
      await writeOk(lane);
      for (;;) {
        const request = await lane.readRecord(REQUEST_BYTES);
        if (!request) break;
        await this.#answer(lane, unpackRange(request));
      }
      await lane.end();
    } catch (error) {
      lane.abort();
      if (error instanceof ProtocolError) this.#control?.abort();
      if (!(error instanceof BrokenStreamError)) throw error;
    } finally {
      this.#lanes.delete(lane);
    }
  }

  /** Ends it, and tells the receiver why. @param {string} message */
  async stop(message) {
    this.#stopped = message;
    const control = this.#control;
    if (!control || control.isBroken) return;
    await writeMessage(control, { type: 'error', error: message, code: 'stopped' }).then(() => control.end()).catch(() => {});
  }

  /** Ends the streams that there are. */
  #end() {
    this.#control?.abort();
    for (const lane of this.#lanes) lane.abort();
    this.#control = undefined;
  }

  /** @param {Stream} control @returns {Promise<Outcome>} */
  async #converse(control) {
    for (;;) {
      const message = await readMessage(control);
      switch (message?.type) {
        case undefined: throw new BrokenStreamError();
        case 'hello':
          await this.#greet(control, String(message.session ?? ''));
          break;
        case 'accept':
          emit(this, 'accepted', null);
          break;
        case 'progress':
          emit(this, 'progress', Math.min(whole(message.bytes) ?? 0, this.#offer.bytes));
          break;
        case 'have':
          await this.#compare(control, message);
          break;
        case 'sum':
          await this.#tellSum(control, message.file);
          break;
        case 'error':
          if (message.code === 'declined') return 'declined';
          throw new RefusedError(String(message.error), String(message.code ?? ''));
        case 'end':
          this.missed = (whole(message.failed) ?? 0) + (whole(message.skipped) ?? 0);
          await writeMessage(control, { type: 'end' });
          return 'done';
      }
    }
  }

  /**
   * @param {Stream} control
   * @param {string} known the list that the receiver has
   */
  async #greet(control, known) {
    const { session, entries, bytes } = this.#offer;
    await writeMessage(control, { type: 'hello', version: VERSION, session });
    if (known === session) return;
    for (const { path, file } of entries) {
      const what = file ? { size: file.size, mtime: new Date(file.lastModified).toISOString() } : { folder: true };
      await writeMessage(control, { type: 'entry', path, ...what });
    }
    await writeMessage(control, { type: 'plan', entries: entries.length, bytes });
  }

  /**
   * @param {Stream} control
   * @param {any} message of type `have`
   */
  async #compare(control, { file, offset, piece, hashes }) {
    const blob = this.#offer.entries[whole(file) ?? -1]?.file;
    const sums = typeof hashes === 'string' ? fromBase64Url(hashes) : undefined;
    const start = whole(offset);
    const count = (sums?.length ?? 0) / 32;
    const isRight = blob && sums && start !== undefined && (piece === BLOCK_BYTES || piece === SMALL_PIECE) && start % piece === 0 && Number.isInteger(count) && count <= MAX_HASHES;
    if (!isRight) throw new ProtocolError('The receiver has something of a file that there is not.');
    let same = '';
    for (let place = 0; place < count; place++) {
      const at = start + place * piece;
      const length = Math.min(piece, blob.size - at);
      const bytes = length > 0 ? await this.#offer.read({ file, offset: at, length }).catch(() => undefined) : undefined;
      same += bytes && isEqual(await sha256(bytes), sums.subarray(32 * place, 32 * place + 32)) ? '1' : '0';
    }
    await writeMessage(control, { type: 'same', file, offset, same });
  }

  /**
   * @param {Stream} control
   * @param {unknown} file
   */
  async #tellSum(control, file) {
    const index = whole(file);
    if (index === undefined || !this.#offer.entries[index]?.file) throw new ProtocolError('The receiver asks for a file that there is not.');
    try {
      await writeMessage(control, { type: 'sum', file: index, sha256: toBase64Url(await this.#offer.sum(index)) });
    } catch (error) {
      if (error instanceof BrokenStreamError) throw error;
      await this.#fail(index);
    }
  }

  /**
   * @param {Stream} lane
   * @param {Range} range
   */
  async #answer(lane, range) {
    const { file, offset, length } = range;
    const size = this.#offer.entries[file]?.file?.size ?? -1;
    const isWithin = length > 0 && length <= BLOCK_BYTES && (offset % BLOCK_BYTES) + length <= BLOCK_BYTES && offset + length <= size;
    if (!isWithin) throw new ProtocolError('The receiver asks for bytes that there are not.');
    const bytes = await this.#offer.read(range).catch(() => undefined);
    if (!bytes) {
      await this.#fail(file);
      return lane.write(packRange({ ...range, length: NOTHING }));
    }
    await lane.write(packRange(range));
    await lane.write(bytes);
    await lane.write(await sha256(bytes));
  }

  /** Says once that a file cannot be sent. @param {number} file */
  async #fail(file) {
    if (this.#failed.has(file)) return;
    this.#failed.add(file);
    const path = this.#offer.entries[file]?.path ?? '';
    if (this.#control) await writeMessage(this.#control, { type: 'failed', file, error: `${plain(path)} is gone, or has changed since it was chosen` });
  }
}
