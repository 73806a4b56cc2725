// @ts-check
import { BLOCK_BYTES, NOTHING, ProtocolError, REQUEST_BYTES, SUM_BYTES, isEqual, packRange, readStatus, sha256, unpackRange } from './lines.js';

/**
 * @import { Range } from './lines.js'
 * @import { Stream } from './stream.js'
 *
 * @typedef {Range & { isOpenEnd: boolean }} Wanted isOpenEnd: the length of the file is unknown, and it may end in this block
 *
 * What has come for one range: its bytes, or nothing.
 * @typedef {{ wanted: Wanted, bytes: Uint8Array<ArrayBuffer> | undefined }} Piece
 */

const STREAMS = 4;
/** What may be under way or wait for its turn, for all of it is in memory. */
const WINDOW_BYTES = 8 * BLOCK_BYTES;
/** What one stream may be asked for beyond that. */
const LANE_BYTES = 2 * BLOCK_BYTES;
const LANE_RANGES = 16;

/**
 * Asks for ranges on several streams, and gives what comes in the order in which it was asked for, each verified.
 */
export class Fetching {
  #next;
  /** @type {Map<number, Piece>} by number, until their turn */
  #come = new Map();
  /** The numbers of the range that is asked for next, and of the one whose turn it is. */
  #asked = 0;
  #turn = 0;
  #bytes = 0;
  /** @type {unknown} */
  #failure;
  #wake = new Set();
  /** @type {Stream[]} */
  #streams = [];

  /** @param {() => Wanted | undefined} next returns what to ask for next; undefined: nothing for the time being, see `resume` */
  constructor(next) {
    this.#next = next;
  }

  /** @param {() => Promise<Stream>} open */
  start(open) {
    for (let lane = 0; lane < STREAMS; lane++) this.#lane(open).catch((error) => this.fail(error));
  }

  /** @param {unknown} error that `take` throws from now on */
  fail(error) {
    this.#failure ??= error;
    for (const stream of this.#streams) stream.abort();
    this.resume();
  }

  /** There may be more to ask for, or less to wait for. */
  resume() {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }

  /**
   * @param {() => boolean} isOver whether to wait no longer
   * @returns {Promise<Piece | undefined>} the next one, in the order of the asking; undefined: it is over
   * @throws whatever broke a stream, or a ProtocolError if the bytes are not what the sender says
   */
  async take(isOver) {
    for (;;) {
      const piece = this.#come.get(this.#turn);
      if (piece) {
        this.#come.delete(this.#turn++);
        this.#bytes -= piece.wanted.length;
        this.resume();
        return piece;
      }
      if (this.#failure) throw this.#failure;
      if (isOver()) return undefined;
      await this.#wait();
    }
  }

  /** Ends the streams: everything has come. */
  async end() {
    await Promise.all(this.#streams.map((stream) => stream.end()));
  }

  /** @param {() => Promise<Stream>} open */
  async #lane(open) {
    const stream = await open();
    this.#streams.push(stream);
    if (this.#failure) return stream.abort();
    /** @type {{ number: number, wanted: Wanted }[]} */
    const waiting = [];
    let asked = 0;
    let isGreeted = false;
    while (!this.#failure) {
      for (let wanted; waiting.length < LANE_RANGES && asked < LANE_BYTES && this.#bytes <= WINDOW_BYTES - BLOCK_BYTES && (wanted = this.#next());) {
        waiting.push({ number: this.#asked++, wanted });
        asked += wanted.length;
        this.#bytes += wanted.length;
        await stream.write(packRange(wanted));
      }
      const first = waiting.shift();
      if (!first) {
        await this.#wait();
        continue;
      }
      if (!isGreeted) await readStatus(stream);
      isGreeted = true;
      asked -= first.wanted.length;
      this.#come.set(first.number, { wanted: first.wanted, bytes: await readAnswer(stream, first.wanted) });
      this.resume();
    }
  }

  #wait() {
    return /** @type {Promise<void>} */ (new Promise((resolve) => this.#wake.add(resolve)));
  }
}

/**
 * @param {Stream} stream
 * @param {Wanted} wanted
 * @returns {Promise<Uint8Array<ArrayBuffer> | undefined>} undefined if the sender has nothing for it
 */
async function readAnswer(stream, { file, offset, length, isOpenEnd }) {
  const answer = unpackRange(await stream.readExactly(REQUEST_BYTES));
  if (answer.file !== file || answer.offset !== offset) throw new ProtocolError('The sender answers what nobody has asked.');
  if (answer.length === NOTHING) return undefined;
  if (isOpenEnd ? answer.length > length : answer.length !== length) throw new ProtocolError('The sender sends more or less than it was asked for.');
  const bytes = await stream.readExactly(answer.length);
  const sum = await stream.readExactly(SUM_BYTES);
  if (!isEqual(sum, await sha256(bytes))) throw new ProtocolError('The bytes that came are not those that were sent.');
  return bytes;
}
