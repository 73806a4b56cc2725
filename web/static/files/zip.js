// @ts-check
import { crc32 } from './crc32.js';

/**
 * A zip file that holds files as they are. What must be written is known before the first byte of a file but its check sum, which
 * goes back into its header: so the file needs no second reading, and readers need no guesses. Entries beyond 4 GiB are in the form
 * that PKWARE's APPNOTE calls ZIP64.
 *
 * @typedef {object} ZipTarget
 * @property {(bytes: Uint8Array<ArrayBuffer>, at: number) => Promise<void>} write
 *
 * @typedef {object} ZipEntry
 * @property {string} path with `/`; of a folder, one at its end
 * @property {number | undefined} [size] undefined if it turns out later
 * @property {number} [modified] milliseconds since 1970
 * @property {boolean} [executable]
 *
 * @typedef {{ entry: ZipEntry, name: Uint8Array<ArrayBuffer>, start: number, size: number, crc: number }} Begun size: so far
 */

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
/** Names in UTF-8. */
const UTF8 = 0x0800;
/** What does not fit into 32 bits stands elsewhere. */
const ELSEWHERE = 0xffffffff;
const UNIX = 3;
const VERSION = 45;
const FILE_MODE = 0o100644;
const EXECUTABLE_MODE = 0o100755;
const FOLDER_MODE = 0o40755;
/** What old systems call a folder. */
const FOLDER = 0x10;

/** @param {number} number */
const clipped = (number) => Math.min(number, ELSEWHERE);

export class ZipWriter {
  #target;
  #sum;
  #at = 0;
  /** @type {Begun[]} */
  #entries = [];

  /**
   * @param {ZipTarget} target
   * @param {(bytes: Uint8Array<ArrayBuffer>, crc: number) => number} [sum] goes on with a check sum
   */
  constructor(target, sum = crc32) {
    this.#target = target;
    this.#sum = sum;
  }

  /** Begins an entry, whose bytes follow in order. @param {ZipEntry} entry */
  async begin(entry) {
    const name = new TextEncoder().encode(entry.path);
    const begun = { entry, name, start: this.#at, size: 0, crc: 0 };
    this.#entries.push(begun);
    const isWide = isWideEntry(entry);
    const extra = concat([isWide ? extra64([entry.size ?? 0, entry.size ?? 0]) : EMPTY, timeExtra(entry)]);
    const size = isWide ? ELSEWHERE : entry.size ?? 0;
    await this.#append(concat([record([[4, LOCAL], ...common(begun, size, extra.length)]), name, extra]));
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes the next ones of the entry */
  async write(bytes) {
    const begun = this.#entries.at(-1);
    if (!begun) throw new Error('no entry was begun');
    begun.crc = this.#sum(bytes, begun.crc);
    begun.size += bytes.length;
    await this.#append(bytes);
  }

  /** Ends an entry: what was not known at its beginning goes into its header. */
  async end() {
    const begun = this.#entries.at(-1);
    if (!begun || begun.size === 0) return;
    await this.#target.write(record([[4, begun.crc]]), begun.start + CRC_AT);
    if (isWideEntry(begun.entry)) await this.#target.write(record([[8, begun.size], [8, begun.size]]), begun.start + HEADER_BYTES + begun.name.length + 4);
  }

  /** Takes the entry back that was begun last. */
  abandon() {
    this.#at = this.#entries.pop()?.start ?? this.#at;
  }

  /** Writes the list of all entries, after which the file is whole. @returns {Promise<number>} its length */
  async close() {
    const start = this.#at;
    for (const begun of this.#entries) {
      const { name, size } = begun;
      const wide = [...(size >= ELSEWHERE ? [size, size] : []), ...(begun.start >= ELSEWHERE ? [begun.start] : [])];
      const extra = concat([wide.length > 0 ? extra64(wide) : EMPTY, timeExtra(begun.entry)]);
      await this.#append(concat([central(begun, extra.length), name, extra]));
    }
    await this.#append(endOf(this.#entries.length, start, this.#at - start));
    return this.#at;
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async #append(bytes) {
    const at = this.#at;
    this.#at += bytes.length;
    await this.#target.write(bytes, at);
  }
}

/** Where the check sum stands in a local header, and how long that is before the name. */
const CRC_AT = 14;
const HEADER_BYTES = 30;
const EMPTY = new Uint8Array(0);

/** @param {Uint8Array<ArrayBuffer>[]} parts */
function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Numbers one after the other, in the byte order of zip files.
 *
 * @param {[bytes: 2 | 4 | 8, value: number][]} fields
 */
function record(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else if (bytes === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

/** @param {ZipEntry} entry @returns {boolean} whether its size may not fit into 32 bits */
function isWideEntry({ size = Infinity, path }) {
  return size >= ELSEWHERE && !path.endsWith('/');
}

/**
 * @param {Begun} begun
 * @param {number} size
 * @param {number} extraLength
 * @returns {[2 | 4 | 8, number][]} what both headers of an entry have
 */
function common({ entry, crc, name }, size, extraLength) {
  const { date, time } = dosTime(entry.modified ?? 0);
  return [[2, VERSION], [2, UTF8], [2, 0], [2, time], [2, date], [4, crc], [4, clipped(size)], [4, clipped(size)], [2, name.length], [2, extraLength]];
}

/**
 * @param {Begun} begun
 * @param {number} extraLength
 */
function central(begun, extraLength) {
  const isFolder = begun.entry.path.endsWith('/');
  const mode = isFolder ? FOLDER_MODE : begun.entry.executable ? EXECUTABLE_MODE : FILE_MODE;
  return record([
    [4, CENTRAL], [2, (UNIX << 8) | VERSION], ...common(begun, begun.size, extraLength),
    [2, 0], [2, 0], [2, 0], [2, isFolder ? FOLDER : 0], [2, mode], [4, clipped(begun.start)],
  ]);
}

/** @param {number[]} values */
function extra64(values) {
  return record([[2, 1], [2, 8 * values.length], ...values.map((value) => /** @type {[8, number]} */ ([8, value]))]);
}

/** The time in seconds since 1970, since the other form is of no time zone. @param {ZipEntry} entry */
function timeExtra({ modified }) {
  if (!modified || modified < 0 || modified >= 2 ** 31 * 1000) return EMPTY;
  const seconds = Math.floor(modified / 1000);
  return record([[2, 0x5455], [2, 5], [2, 1 | ((seconds & 255) << 8)], [4, seconds >>> 8]]).subarray(0, 9);
}

/** @param {number} modified */
function dosTime(modified) {
  const at = new Date(modified);
  if (at.getFullYear() < 1980 || at.getFullYear() > 2107) return { date: 0x21, time: 0 };
  const date = ((at.getFullYear() - 1980) << 9) | ((at.getMonth() + 1) << 5) | at.getDate();
  return { date, time: (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1) };
}

/** @param {number} count @param {number} start @param {number} size of the list of entries */
function endOf(count, start, size) {
  const few = Math.min(count, 0xffff);
  const end = record([[4, END], [2, 0], [2, 0], [2, few], [2, few], [4, clipped(size)], [4, clipped(start)], [2, 0]]);
  if (count < 0xffff && start < ELSEWHERE && size < ELSEWHERE) return end;
  const end64 = record([[4, END64], [8, 44], [2, (UNIX << 8) | VERSION], [2, VERSION], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, start]]);
  return concat([end64, record([[4, LOCATOR64], [4, 0], [8, start + size], [4, 1]]), end]);
}
