// @ts-check

/** @import { PeerChannel } from '../sdk/peer/channel.js' */

/** A message is so long at most; docs/peer-protocol.md. */
const PIECE_BYTES = 16_384;
/** A data channel cannot be told to wait. What nobody has asked for is not kept beyond this. */
const MAX_UNREAD_BYTES = 32 << 20;

const CLOSE_MS = 2000;

/** The stream broke before its end. Another one may go on. */
export class BrokenStreamError extends Error {
  /** @param {string} [message] */
  constructor(message = 'The connection was interrupted.') {
    super(message);
    this.name = 'BrokenStreamError';
  }
}

/**
 * A stream of bytes to a peer and back, whose two directions end on their own: a channel of its name, as docs/peer-protocol.md
 * has it. One stream of a name can be open at a time.
 */
export class Stream {
  #channel;
  /** @type {Uint8Array<ArrayBuffer>[]} that have come and were not read */
  #unread = [];
  #unreadBytes = 0;
  /** The peer has sent all. */
  #isAtEnd = false;
  #hasSentEnd = false;
  #hasSentRead = false;
  /** The peer has read all that we sent, or reads no more. */
  #wasRead = false;
  /** @type {BrokenStreamError | undefined} */
  #broken;
  /** @type {() => void} called when there is something to read, or an end */
  #wake = () => {};
  #ended = new AbortController();
  #maxUnread;

  /**
   * @param {PeerChannel} channel
   * @param {number} [maxUnread] bytes that may come before somebody reads them
   */
  constructor(channel, maxUnread = MAX_UNREAD_BYTES) {
    this.#channel = channel;
    this.#maxUnread = maxUnread;
    const { signal } = this.#ended;
    channel.on('message', (message) => this.#receive(message), { signal });
    channel.on('interrupted', () => this.#break(), { signal });
    channel.on('closed', () => this.#break(), { signal });
  }

  get name() {
    return this.#channel.label;
  }

  get isBroken() {
    return this.#broken !== undefined;
  }

  /**
   * Resolves when there is room for more.
   *
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @throws {BrokenStreamError}
   */
  async write(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) await this.#send(bytes.subarray(at, at + PIECE_BYTES));
  }

  /** Nothing follows from us. What comes back goes on. */
  async end() {
    if (this.#hasSentEnd) return;
    this.#hasSentEnd = true;
    await this.#send('end');
    this.#closeIfDone();
  }

  /**
   * @returns {Promise<Uint8Array<ArrayBuffer> | undefined>} what has come, at least one byte; undefined at the end
   * @throws {BrokenStreamError}
   */
  async read() {
    while (!this.#unread.length) {
      if (this.#isAtEnd) {
        await this.#sayRead().catch(() => {}); // Even if the connection has broken since, we have it all.
        return undefined;
      }
      if (this.#broken) throw this.#broken;
      await this.#news();
    }
    const bytes = this.#unread.shift();
    this.#unreadBytes -= bytes?.length ?? 0;
    return bytes;
  }

  /**
   * @param {number} count
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {BrokenStreamError} also if the stream ends before
   */
  async readExactly(count) {
    const bytes = await this.readRecord(count);
    if (!bytes) throw new BrokenStreamError('The other side ended too early.');
    return bytes;
  }

  /**
   * @param {number} count
   * @returns {Promise<Uint8Array<ArrayBuffer> | undefined>} undefined if the stream ends where a record would begin
   * @throws {BrokenStreamError} also if the stream ends within one
   */
  async readRecord(count) {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const part = await this.read();
      if (!part && at === 0) return undefined;
      if (!part) throw new BrokenStreamError('The other side ended too early.');
      const fits = part.subarray(0, count - at);
      bytes.set(fits, at);
      at += fits.length;
      if (fits.length < part.length) this.#putBack(part.subarray(fits.length));
    }
    return bytes;
  }

  /**
   * @param {number} max bytes
   * @returns {Promise<string | undefined>} without the newline; undefined at the end
   * @throws {BrokenStreamError} also if the line is too long, or is none
   */
  async readLine(max) {
    /** @type {Uint8Array<ArrayBuffer>[]} */
    const parts = [];
    for (let length = 0; ;) {
      const part = await this.read();
      if (!part && length === 0) return undefined;
      if (!part) throw new BrokenStreamError('The other side ended in a line.');
      const newline = part.indexOf(10);
      const own = newline < 0 ? part : part.subarray(0, newline);
      length += own.length;
      if (length > max) throw new BrokenStreamError('The other side sent a line that is too long.');
      parts.push(own);
      if (newline < 0) continue;
      if (newline + 1 < part.length) this.#putBack(part.subarray(newline + 1));
      const line = new Uint8Array(length); // A Blob would take a turn of the browser's for each of 100,000 lines.
      let at = 0;
      for (const one of parts) {
        line.set(one, at);
        at += one.length;
      }
      return new TextDecoder().decode(line);
    }
  }

  /** Ends the stream in order, so that what we have said arrives; but waits for the other side no longer than it must. */
  async close() {
    const late = setTimeout(() => this.abort(), CLOSE_MS);
    try {
      await this.end();
      while (await this.read());
      while (!this.#broken) await this.#news(); // until the other side has read our end, too
    } catch {
      // It has broken already.
    } finally {
      clearTimeout(late);
      this.abort();
    }
  }

  /** Gives the stream up, for both sides. */
  abort() {
    this.#break();
    this.#channel.close();
  }

  /** Resolves when there is something to read, or an end. */
  #news() {
    return /** @type {Promise<void>} */ (new Promise((resolve) => (this.#wake = resolve)));
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  #putBack(bytes) {
    this.#unread.unshift(bytes);
    this.#unreadBytes += bytes.length;
  }

  /** @param {unknown} message */
  #receive(message) {
    if (message instanceof ArrayBuffer) {
      if (message.byteLength === 0 || this.#hasSentRead) return;
      this.#unread.push(new Uint8Array(message));
      this.#unreadBytes += message.byteLength;
      if (this.#isAtEnd || this.#unreadBytes > this.#maxUnread) return this.abort();
    } else if (message === 'end') {
      this.#isAtEnd = true;
    } else if (message === 'read') {
      this.#wasRead = true;
      this.#closeIfDone();
    } else {
      return this.abort();
    }
    this.#wake();
  }

  async #sayRead() {
    if (this.#hasSentRead) return;
    this.#hasSentRead = true;
    await this.#send('read');
    this.#closeIfDone();
  }

  /** @param {string | Uint8Array<ArrayBuffer>} data */
  async #send(data) {
    if (this.#broken) throw this.#broken;
    try {
      await this.#channel.send(data, { signal: this.#ended.signal });
    } catch (error) {
      throw this.#broken ?? error;
    }
  }

  /** Once both ends were read, nothing is under way that closing could lose. */
  #closeIfDone() {
    if (!this.#hasSentEnd || !this.#hasSentRead || !this.#wasRead || this.#broken) return;
    this.#break();
    this.#channel.close();
  }

  #break() {
    if (this.#broken) return;
    this.#broken = new BrokenStreamError();
    this.#ended.abort(this.#broken);
    this.#wake();
  }
}
