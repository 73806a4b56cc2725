// @ts-check
import { asIs, say } from './words/code.js';

const UNITS = ['', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** @param {number} bytes @returns {string} such as "3.1 MB" */
export function size(bytes) {
  let unit = 0;
  let number = bytes;
  for (; number >= 999.5 && unit < UNITS.length - 1; unit++) number /= 1000;
  if (unit === 0) return say('code.bytes', { count: bytes });
  return `${number < 9.95 ? number.toFixed(1) : Math.round(number)} ${UNITS[unit]}`;
}

/** @param {number} seconds @returns {string} such as "2 min" */
export function duration(seconds) {
  if (seconds < 60) return say('code.seconds', { count: Math.max(1, Math.round(seconds)) });
  if (seconds < 3570) return say('code.minutes', { count: Math.round(seconds / 60) });
  return say('code.hours', { hours: Math.floor(seconds / 3600 + 0.02), minutes: Math.round(seconds / 60) % 60 });
}

/** @param {number} count such as "one file" */
export function files(count) {
  return asIs(say('code.files', { count }));
}

/** A size for the middle of a message. @param {number} bytes */
export function sized(bytes) {
  return asIs(size(bytes));
}

/** How fast something goes, from what there was in the last seconds. */
export class Pace {
  /** @type {{ at: number, bytes: number }[]} */
  #samples = [];
  #span;

  /** @param {number} [span] milliseconds that count */
  constructor(span = 5000) {
    this.#span = span;
  }

  /** @param {number} bytes until now @param {number} [now] milliseconds */
  add(bytes, now = performance.now()) {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at: now, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? now) < now - this.#span) this.#samples.shift();
  }

  /** Begins anew, such as after an interruption. */
  clear() {
    this.#samples = [];
  }

  /** @returns {number} bytes a second; 0 as long as there is too little to tell */
  get rate() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at - first.at < 500) return 0;
    return (1000 * (last.bytes - first.bytes)) / (last.at - first.at);
  }
}
