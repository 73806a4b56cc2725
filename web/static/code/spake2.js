// @ts-check
// SPAKE2 (RFC 9382) on P-256 with SHA-256, HKDF and HMAC. internal/spake2 does the same in Go, and says why it is used as it is.
import { GENERATOR, ORDER, add, bytesOf, decode, encode, isInfinity, multiply, negate, numberOf } from './p256.js';

/**
 * @import { Point } from './p256.js'
 *
 * What a side is: A blinds what it has drawn with M, and B with N.
 * @typedef {'A' | 'B'} Role
 *
 * @typedef {object} Confirmer
 * @property {Uint8Array<ArrayBuffer>} confirmation for the other side
 * @property {(theirs: Uint8Array) => boolean} verify whether the other side knows the password, and sees the same connection
 *
 * @typedef {object} Exchange
 * @property {Uint8Array<ArrayBuffer>} share for the other side
 * @property {(theirs: Uint8Array) => Promise<Confirmer>} finish takes the other side's share, once; it rejects with a RangeError for
 *   bytes that no honest side sends
 */

/** @type {Record<Role, Point>} M and N of RFC 9382 §6 */
const BLINDS = {
  A: [0x886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12fn, 0x5ff355163e43ce224e0b0e65ff02ac8e5c7be09419c785e0ca547d55a12e2d20n, 1n],
  B: [0xd8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49n, 0x07d60aa6bfade45008a636337f5168c64d9bd36034808cd564490b1e656edbe7n, 1n],
};

const KEY = 16;
/** So much longer than a number below the order that what is left of the division is as good as drawn. */
const WIDE = 48;

/**
 * Begins the exchange of a code.
 *
 * @param {'sender' | 'receiver'} side
 * @param {string} words of the code, such as `crossover-clockwork`
 * @param {Uint8Array<ArrayBuffer>} binding what tells this connection from all others
 * @returns {Promise<Exchange>}
 */
export async function start(side, words, binding) {
  if (!words) throw new RangeError('A code without words proves nothing.');
  const w = await passwordOf(words);
  const drawn = numberOf(crypto.getRandomValues(new Uint8Array(WIDE))) % (ORDER - 1n) + 1n;
  return begin({ role: side === 'sender' ? 'A' : 'B', w, identities: { A: 'sender', B: 'receiver' }, additional: binding, drawn });
}

/** @param {string} words */
export async function passwordOf(words) {
  return numberOf(await hkdf(utf8(words), utf8('turnpike code 1'), WIDE)) % ORDER;
}

/**
 * One side of SPAKE2 with all its numbers. Only tests know the one that is drawn.
 *
 * @param {{ role: Role, w: bigint, identities: Record<Role, string>, additional: Uint8Array<ArrayBuffer>, drawn: bigint }} run
 * @returns {Exchange}
 */
export function begin({ role, w, identities, additional, drawn }) {
  const theirRole = role === 'A' ? 'B' : 'A';
  const share = encode(add(multiply(w, BLINDS[role]), multiply(drawn, GENERATOR)));
  let isSpent = false;
  return {
    share,
    finish: async (theirs) => {
      if (isSpent) throw new Error('A share answers one other share.');
      isSpent = true;
      const common = multiply(drawn, add(decode(theirs), negate(multiply(w, BLINDS[theirRole]))));
      if (isInfinity(common)) throw new RangeError('No side could have drawn this share.');
      const [shareA, shareB] = role === 'A' ? [share, theirs] : [theirs, share];
      const transcript = joined(utf8(identities.A), utf8(identities.B), shareA, shareB, encode(common), bytesOf(w));
      const confirmations = await confirm(transcript, additional);
      const expected = confirmations[theirRole];
      return { confirmation: confirmations[role], verify: (confirmation) => isSame(confirmation, expected) };
    },
  };
}

/**
 * The key schedule of RFC 9382 §4.
 *
 * @param {Uint8Array<ArrayBuffer>} transcript
 * @param {Uint8Array<ArrayBuffer>} additional
 * @returns {Promise<Record<Role, Uint8Array<ArrayBuffer>>>}
 */
async function confirm(transcript, additional) {
  const ka = new Uint8Array(await crypto.subtle.digest('SHA-256', transcript)).slice(KEY);
  const keys = await hkdf(ka, concatenated(utf8('ConfirmationKeys'), additional), 2 * KEY);
  return { A: await hmac(keys.slice(0, KEY), transcript), B: await hmac(keys.slice(KEY), transcript) };
}

/** Each part after its length in eight bytes, the smallest first. @param {Uint8Array[]} parts */
function joined(...parts) {
  return concatenated(...parts.flatMap((part) => [bytesOf(BigInt(part.length)).reverse().subarray(0, 8), part]));
}

/** @param {Uint8Array[]} parts */
function concatenated(...parts) {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer>} */
function utf8(text) {
  return new TextEncoder().encode(text);
}

/**
 * @param {Uint8Array<ArrayBuffer>} secret
 * @param {Uint8Array<ArrayBuffer>} info
 * @param {number} length in bytes
 */
async function hkdf(secret, info, length) {
  const key = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info }, key, 8 * length));
}

/** @param {Uint8Array<ArrayBuffer>} secret @param {Uint8Array<ArrayBuffer>} message */
async function hmac(secret, message) {
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, message));
}

/** Looks at all bytes, wherever they differ. @param {Uint8Array} one @param {Uint8Array} other */
function isSame(one, other) {
  let difference = one.length ^ other.length;
  for (let i = 0; i < other.length; i++) difference |= (one[i] ?? 0) ^ (other[i] ?? 0);
  return difference === 0;
}
