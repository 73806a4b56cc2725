// @ts-check
import { MAX_ENTRIES, MAX_PATHS_BYTES, ProtocolError, plain, whole } from './lines.js';

/**
 * A file or folder that is offered.
 *
 * @typedef {object} Entry
 * @property {string} path relative, with `/` between its parts
 * @property {boolean} folder
 * @property {number | undefined} size in bytes; undefined if it turns out later
 * @property {number} [mode] Unix's permissions
 * @property {number} [modified] milliseconds since 1970
 */

const MAX_PART_BYTES = 255;
const MAX_PARTS = 64;
const MAX_PATH_BYTES = 4096;
const UNFINISHED = /^\..*\.turnpike-part$/s;
/** What some systems cannot have as a name: devices, signs, and a dot or space at the end. */
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)|[<>:"|?*]|[. ]$/i;

const encoder = new TextEncoder();

/**
 * The list of what is offered, which nobody can believe before it was checked: docs/file-protocol.md says which names are refused.
 */
export class EntryList {
  /** @type {Entry[]} */
  all = [];
  /** @type {Map<string, Entry>} by path */
  #known = new Map();
  #pathBytes = 0;

  /**
   * @param {any} message of type `entry`
   * @throws {ProtocolError}
   */
  add(message) {
    const { path, folder = false, size, mode, mtime } = message;
    const problem = problemOf(path);
    if (problem) throw new ProtocolError(`The sender offers a file whose name ${problem}.`);
    const entry = { path, folder: folder === true, size: folder === true ? 0 : whole(size) };
    if (size !== undefined && entry.size === undefined) throw new ProtocolError(`The size of ${plain(path)} is no number.`);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (this.#known.has(path)) throw new ProtocolError(`The sender offers ${plain(path)} twice.`);
    if (parent !== '' && !this.#known.get(parent)?.folder) throw new ProtocolError(`The folder of ${plain(path)} is not offered.`);
    this.#pathBytes += encoder.encode(path).length;
    if (this.all.length >= MAX_ENTRIES || this.#pathBytes > MAX_PATHS_BYTES) throw new ProtocolError('The sender offers too many files at once.');
    const modified = typeof mtime === 'string' ? Date.parse(mtime) : NaN;
    const permissions = whole(mode);
    this.#known.set(path, entry);
    this.all.push({ ...entry, ...(permissions !== undefined && { mode: permissions & 0o777 }), ...(Number.isFinite(modified) && { modified }) });
  }

  /** @param {any} message of type `plan` @throws {ProtocolError} */
  check({ entries, bytes }) {
    if (entries !== this.all.length || bytes !== this.bytes) throw new ProtocolError('The list of files is not as long as the sender says.');
    if (entries === 0) throw new ProtocolError('The sender offers nothing.');
  }

  /** The sum of all sizes that are known. */
  get bytes() {
    return this.all.reduce((sum, { size = 0 }) => sum + size, 0);
  }
}

/** @param {unknown} path @returns {string | undefined} what is wrong with it, after "whose name" */
export function problemOf(path) {
  if (typeof path !== 'string' || path === '') return 'is missing';
  if (/[\p{Cc}\\]|\p{Surrogate}/u.test(path)) return 'has signs that no name may have';
  if (encoder.encode(path).length > MAX_PATH_BYTES) return 'is too long';
  const parts = path.split('/');
  if (parts.length > MAX_PARTS) return 'is in too many folders';
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') return 'leads out of its folder';
    if (encoder.encode(part).length > MAX_PART_BYTES) return 'is too long';
    if (UNFINISHED.test(part)) return 'is one of unfinished files';
  }
  return undefined;
}

/**
 * A part of a path as every system can have it.
 *
 * @param {string} part
 */
export function portable(part) {
  const clean = part.replace(/[<>:"|?*\\/\p{Cc}\p{Cf}]/gu, '_').replace(/[. ]+$/, '_');
  return RESERVED.test(clean) ? `_${clean}` : clean || '_';
}

/**
 * The same for a file that the browser saves, which nobody must overlook.
 *
 * @param {string} name
 */
export function saveable(name) {
  return portable(name).replace(/^\.+/, '_');
}

/** A path for people to read, who must not be misled by marks that they do not see. @param {string} path */
export function readable(path) {
  return path.replace(/\p{Cf}/gu, '');
}

/**
 * @param {string} name
 * @param {number} copy
 * @returns {string} such as "cat (2).jpg"
 */
export function copyOf(name, copy) {
  const [, stem = name, ending = ''] = /^(.+?)((?:\.tar)?\.[^.]*)?$/s.exec(name) ?? [];
  return copy === 1 ? name : `${stem} (${copy})${ending}`;
}
