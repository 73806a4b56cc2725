// @ts-check
import { BrokenStreamError } from './stream.js';

/** @import { Stream } from './stream.js' */

/** The numbers of docs/file-protocol.md. */
export const VERSION = 1;
export const BLOCK_BYTES = 1 << 20;
export const REQUEST_BYTES = 16;
export const SUM_BYTES = 32;
/** In the place of a length: there is nothing for this request. */
export const NOTHING = 0xffffffff;
export const MAX_ENTRIES = 100_000;
export const MAX_PATHS_BYTES = 16 << 20;
export const MAX_HASHES = 512;
const MAX_LINE = 65_536;
const MAX_STATUS = 256;
const MAX_ERROR = 256;

/** What the other side says to end the transfer. */
export class RefusedError extends Error {
  /**
   * @param {string} message
   * @param {string} [code]
   */
  constructor(message, code = '') {
    super(plain(message));
    this.name = 'RefusedError';
    this.code = code;
  }
}

/** The other side does not speak as it must. */
export class ProtocolError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = 'ProtocolError';
  }
}

/** @param {string} text of others, for people to read */
export function plain(text) {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').slice(0, MAX_ERROR);
}

/**
 * Reads what the side that accepts a stream says first.
 *
 * @param {Stream} stream
 * @throws {RefusedError | BrokenStreamError | ProtocolError}
 */
export async function readStatus(stream) {
  const line = await stream.readLine(MAX_STATUS);
  if (line === undefined) throw new BrokenStreamError();
  if (line === 'ok') return;
  const [, why] = /^error: (.*)/.exec(line) ?? [];
  throw why === undefined ? new ProtocolError('The other side does not say whether it takes the stream.') : new RefusedError(why);
}

/** @param {Stream} stream */
export function writeOk(stream) {
  return stream.write(new TextEncoder().encode('ok\n'));
}

/**
 * Says that we do not take a stream, and why.
 *
 * @param {Stream} stream
 * @param {string} why
 */
export async function refuse(stream, why) {
  await stream.write(new TextEncoder().encode(`error: ${why}\n`)).catch(() => {}); // It may be gone already.
  await stream.close();
}

/**
 * @param {Stream} stream
 * @returns {Promise<any>} an object with a `type`; undefined at the end
 */
export async function readMessage(stream) {
  const line = await stream.readLine(MAX_LINE);
  if (line === undefined) return undefined;
  /** @type {unknown} */
  let message;
  try {
    message = JSON.parse(line);
  } catch {
    throw new ProtocolError('The other side sent a line that is no message.');
  }
  if (typeof message !== 'object' || message === null || !('type' in message)) throw new ProtocolError('The other side sent a message of no type.');
  return message;
}

/**
 * @param {Stream} stream
 * @param {{ type: string } & Record<string, unknown>} message
 */
export function writeMessage(stream, message) {
  return stream.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
}

/** @param {unknown} value @returns {number | undefined} a number of the protocol: a whole one from 0 */
export function whole(value) {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;
}

/** @typedef {{ file: number, offset: number, length: number }} Range of a file */

/** @param {Range} range */
export function packRange({ file, offset, length }) {
  const view = new DataView(new ArrayBuffer(REQUEST_BYTES));
  view.setUint32(0, file);
  view.setBigUint64(4, BigInt(offset));
  view.setUint32(12, length);
  return new Uint8Array(view.buffer);
}

/** @param {Uint8Array} bytes @returns {Range} */
export function unpackRange(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, REQUEST_BYTES);
  return { file: view.getUint32(0), offset: Number(view.getBigUint64(4)), length: view.getUint32(12) };
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

/** @param {Uint8Array} bytes */
export function toBase64Url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer> | undefined} */
export function fromBase64Url(text) {
  if (!/^[\w-]*$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** @param {Uint8Array} a @param {Uint8Array} b */
export function isEqual(a, b) {
  return a.length === b.length && a.every((byte, place) => byte === b[place]);
}
