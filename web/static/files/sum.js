// @ts-check
import { sha256 } from '../vendor/noble/sha2.js';

/** So many bytes that came too early are kept until their turn: what a receiver may ask for at once. */
const MAX_EARLY_BYTES = 16 << 20;

/** The SHA-256 of a file whose pieces come one after the other. The browser's own needs all bytes at once. */
export class RunningSum {
  #hash = sha256.create();
  /** @type {Map<number, Uint8Array>} by offset */
  #early = new Map();
  #earlyBytes = 0;
  #maxEarly;
  /** @type {Uint8Array<ArrayBuffer> | undefined} */
  #digest;
  /** So many bytes are in. */
  at = 0;

  constructor(maxEarly = MAX_EARLY_BYTES) {
    this.#maxEarly = maxEarly;
  }

  /** @param {Uint8Array} bytes the next ones */
  add(bytes) {
    this.#hash.update(bytes);
    this.at += bytes.length;
  }

  /**
   * Takes a piece from anywhere in the file. One that is in already changes nothing, and one that is far too early is forgotten.
   *
   * @param {number} offset
   * @param {Uint8Array} bytes
   */
  addAt(offset, bytes) {
    if (offset > this.at && !this.#early.has(offset) && this.#earlyBytes + bytes.length <= this.#maxEarly) {
      this.#early.set(offset, bytes);
      this.#earlyBytes += bytes.length;
    }
    if (offset !== this.at) return;
    this.add(bytes);
    for (let next; (next = this.#early.get(this.at));) {
      this.#drop(this.at, next);
      this.add(next);
    }
    for (const [early, piece] of this.#early) if (early < this.at) this.#drop(early, piece);
  }

  /** @param {number} offset @param {Uint8Array} piece */
  #drop(offset, piece) {
    this.#early.delete(offset);
    this.#earlyBytes -= piece.length;
  }

  /** Gives up what came too early. */
  forget() {
    this.#early.clear();
    this.#earlyBytes = 0;
  }

  /** Ends the sum. */
  digest() {
    return (this.#digest ??= Uint8Array.from(this.#hash.digest()));
  }
}
