// @ts-check
import { threeSyllables, twoSyllables } from './words.js';
import { asIs, say } from '../words/code.js';

/**
 * A code is a slot's number, which the server knows, and two words, which only the two people know. package internal/code reads
 * codes in the same way.
 *
 * @typedef {{ slot: number, words: string }} Code words: in lower case and with a hyphen
 *
 * What a text is: a code, or nearly one, or none, and then what to say about it.
 * @typedef {{ code: Code, isSure: boolean } | { problem: string }} Reading
 */

const EXAMPLE = { example: asIs('7-crossover-clockwork') };

const MAX_TEXT = 200;
const MAX_SLOT = 999_999;
const SEPARATORS = /[\s_\p{Pd}]+/u;
/** So many letters may stand for the one word that begins with them. */
const MIN_BEGINNING = 4;

/** Two random words. @returns {string} */
export function newWords() {
  const [first = 0, second = 0] = crypto.getRandomValues(new Uint8Array(2));
  return `${threeSyllables[first]}-${twoSyllables[second]}`;
}

/** @param {Code} code */
export function codeText({ slot, words }) {
  return `${slot}-${words}`;
}

/**
 * The link that has a code. The words are in the fragment, which browsers send to no server.
 *
 * @param {Code} code
 * @param {string} origin
 */
export function codeLink({ slot, words }, origin) {
  return `${new URL(`/c/${slot}`, origin)}#${words}`;
}

/**
 * Reads what somebody has typed or pasted: a code, or a link of this server with one.
 *
 * @param {string} text
 * @param {string} origin ours
 * @returns {Reading}
 */
export function readCode(text, origin) {
  if (text.length > MAX_TEXT) return { problem: say('code.too-long') };
  const link = /^\s*(https?:\/\/[^/\s]+)\/c\/(\d+)\/?#(\S+)\s*$/i.exec(text);
  if (!link) return readParts(partsOf(text));
  const [, from = '', slot = '', words = ''] = link;
  if (hostOf(from) !== hostOf(origin)) return { problem: say('code.other-server') };
  return readParts([slot, ...partsOf(decoded(words))]);
}

/**
 * Reads the address of the page.
 *
 * @param {{ pathname: string, hash: string }} address
 * @returns {{ slot: string, reading: Reading | undefined }} the slot is '' if the address has none, and the reading undefined if
 * it has no words
 */
export function readCodeAddress({ pathname, hash }) {
  const [, slot = ''] = /^\/c\/(\d+)/i.exec(pathname) ?? [];
  const words = decoded(hash.replace(/^#/, ''));
  return { slot, reading: slot && words ? readParts([slot, ...partsOf(words)]) : undefined };
}

/**
 * What a text may become by one more word, in order.
 *
 * @param {string} text
 * @returns {string[]} empty if it cannot become a code
 */
export function completions(text) {
  const parts = partsOf(text);
  const [slot = '', first = '', second = ''] = parts;
  if (text.length > MAX_TEXT || !slotOf(slot)) return [];
  if (/[\s_\p{Pd}]$/u.test(text)) parts.push('');
  const begun = (/** @type {string} */ before, /** @type {string} */ word, /** @type {string[]} */ list) => list.filter((one) => one.startsWith(word)).sort().map((one) => `${before}-${one}`);
  if (parts.length === 2) return begun(slot, first, threeSyllables);
  if (parts.length === 3 && threeSyllables.includes(first)) return begun(`${slot}-${first}`, second, twoSyllables);
  return [];
}

/** @param {string} text */
function partsOf(text) {
  return text.toLowerCase().split(SEPARATORS).filter((part) => part !== '');
}

/** @param {string} link @returns {string | undefined} undefined if it is none */
function hostOf(link) {
  try {
    return new URL(link).host;
  } catch {
    return undefined;
  }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} digits */
function slotOf(digits) {
  const slot = /^\d{1,6}$/.test(digits) ? Number(digits) : 0;
  return slot >= 1 && slot <= MAX_SLOT ? slot : undefined;
}

/** @param {string[]} parts @returns {Reading} */
function readParts([digits = '', first = '', second = '', ...more]) {
  if (digits === '') return { problem: say('code.none', EXAMPLE) };
  const slot = slotOf(digits);
  if (!slot) return { problem: say(/^\d+$/.test(digits) ? 'code.no-number' : 'code.number-first', EXAMPLE) };
  if (second === '' || more.length > 0) return { problem: say('code.two-words', EXAMPLE) };
  if (threeSyllables.includes(first) && twoSyllables.includes(second)) return { code: { slot, words: `${first}-${second}` }, isSure: true };
  if (twoSyllables.includes(first) && threeSyllables.includes(second)) return { code: { slot, words: `${second}-${first}` }, isSure: false };
  const [meantFirst, meantSecond] = [nearest(first, threeSyllables), nearest(second, twoSyllables)];
  if (meantFirst && meantSecond) return { code: { slot, words: `${meantFirst}-${meantSecond}` }, isSure: false };
  if (meantFirst || meantSecond) return { problem: say(meantFirst ? 'code.no-second-word' : 'code.no-first-word') };
  return { problem: say('code.no-words') };
}

/**
 * The word that was plainly meant: the one that begins so, or the only one that differs least, if that is little.
 *
 * @param {string} typed
 * @param {string[]} list
 * @returns {string | undefined}
 */
function nearest(typed, list) {
  const begun = typed.length >= MIN_BEGINNING ? list.filter((word) => word.startsWith(typed)) : [];
  if (begun.length === 1) return begun[0];
  const most = typed.length < 5 ? 1 : typed.length < 9 ? 2 : 3; // A short word is near to too many others.
  const distances = list.map((word) => distance(typed, word));
  const least = Math.min(...distances);
  const nearestOnes = list.filter((_, place) => distances[place] === least);
  return least <= most && nearestOnes.length === 1 ? nearestOnes[0] : undefined;
}

/** How many letters were left out, put in, replaced, or exchanged with the next. @param {string} a @param {string} b */
function distance(a, b) {
  /** @type {number[]} */
  let before = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const row = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (last[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      let least = Math.min(replaced, (last[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1);
      if (i > 0 && j > 0 && a[i] === b[j - 1] && a[i - 1] === b[j]) least = Math.min(least, (before[j - 1] ?? 0) + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
