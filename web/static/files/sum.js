// @ts-check
import { sha256 } from '../vendor/noble/sha2.js';

/** So many pieces that came too early are kept until their turn. */
const MAX_EARLY = 8;

/** The SHA-256 of a file whose pieces come one after the other. The browser's own needs all bytes at once. */
export class RunningSum {
  #hash = sha256.create();
  /** @type {Map<number, Uint8Array>} by offset */
  #early = new Map();
  /** @type {Uint8Array<ArrayBuffer> | undefined} */
  #digest;
  /** So many bytes are in. */
  at = 0;

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
    if (offset > this.at && this.#early.size < MAX_EARLY) this.#early.set(offset, bytes);
    if (offset !== this.at) return;
    this.add(bytes);
    for (let next; (next = this.#early.get(this.at));) {
      this.#early.delete(this.at);
      this.add(next);
    }
    for (const early of this.#early.keys()) if (early < this.at) this.#early.delete(early);
  }

  /** Gives up what came too early. */
  forget() {
    this.#early.clear();
  }

  /** Ends the sum. */
  digest() {
    return (this.#digest ??= Uint8Array.from(this.#hash.digest()));
  }
}
