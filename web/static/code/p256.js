// @ts-check
// The curve P-256 in BigInt, for spake2.js: Web Crypto does not add points. The steps are the same for all numbers, but BigInt
// takes a time that depends on them. Here that tells nobody anything: a number serves once, and nobody can ask for it again.

/**
 * A point with projective coordinates, any of which may be negative: x = X/Z, y = Y/Z. The point at infinity has Z = 0.
 *
 * @typedef {readonly [X: bigint, Y: bigint, Z: bigint]} Point
 */

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

/** How many points there are. */
export const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** @type {Point} */
export const GENERATOR = [
  0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
  1n,
];

/** @type {Point} */
const INFINITY = [0n, 1n, 0n];

const COORDINATE = 32;
/** The length of a point in bytes. */
export const POINT_BYTES = 1 + 2 * COORDINATE;

/**
 * The sum of any two points, also of equal or opposite ones: formulas with no exceptions (Renes, Costello and Batina, 2015, for a = -3).
 *
 * @param {Point} one
 * @param {Point} other
 * @returns {Point}
 */
export function add([x1, y1, z1], [x2, y2, z2]) {
  const xx = x1 * x2 % P;
  const yy = y1 * y2 % P;
  const zz = z1 * z2 % P;
  const xy = (x1 * y2 + x2 * y1) % P;
  const yz = (y1 * z2 + y2 * z1) % P;
  const xz = (x1 * z2 + x2 * z1) % P;
  const e = 3n * (xz - B * zz) % P;
  const f = 3n * (B * xz - 3n * zz - xx) % P;
  const g = 3n * (xx - zz);
  return [(xy * (yy + e) - yz * f) % P, ((yy + e) * (yy - e) + g * f) % P, (yz * (yy - e) + xy * g) % P];
}

/** @param {Point} point @returns {Point} */
export function negate([x, y, z]) {
  return [x, -y, z];
}

/**
 * Adds and doubles for each of 256 bits, whatever they are.
 *
 * @param {bigint} scalar from 0 to 2²⁵⁶-1
 * @param {Point} point
 */
export function multiply(scalar, point) {
  /** @type {[Point, Point]} */
  const sums = [INFINITY, point];
  for (let bit = 255n; bit >= 0n; bit--) {
    const is = Number((scalar >> bit) & 1n);
    const sum = add(sums[0], sums[1]);
    const kept = /** @type {Point} */ (sums[is]);
    sums[is] = add(kept, kept);
    sums[1 - is] = sum;
  }
  return sums[0];
}

/** @param {Point} point */
export function isInfinity([, , z]) {
  return z % P === 0n;
}

/**
 * The form of SEC 1 that is not compressed.
 *
 * @param {Point} point but not the one at infinity
 */
export function encode([x, y, z]) {
  const inverse = power(z, P - 2n);
  const bytes = new Uint8Array(POINT_BYTES);
  bytes[0] = 4;
  bytes.set(bytesOf(positive(x * inverse)), 1);
  bytes.set(bytesOf(positive(y * inverse)), 1 + COORDINATE);
  return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @returns {Point}
 * @throws {RangeError} for anything but a point in the form that is not compressed
 */
export function decode(bytes) {
  const x = numberOf(bytes.subarray(1, 1 + COORDINATE));
  const y = numberOf(bytes.subarray(1 + COORDINATE));
  const isOnCurve = positive(y * y) === positive(x ** 3n - 3n * x + B);
  if (bytes.length !== POINT_BYTES || bytes[0] !== 4 || x >= P || y >= P || !isOnCurve) throw new RangeError('These bytes are no point of P-256.');
  return [x, y, 1n];
}

/** @param {Uint8Array} bytes the greatest first */
export function numberOf(bytes) {
  let number = 0n;
  for (const byte of bytes) number = (number << 8n) | BigInt(byte);
  return number;
}

/** @param {bigint} number below 2²⁵⁶ @returns {Uint8Array<ArrayBuffer>} 32 bytes, the greatest first */
export function bytesOf(number) {
  const bytes = new Uint8Array(COORDINATE);
  for (let i = COORDINATE - 1; i >= 0; i--, number >>= 8n) bytes[i] = Number(number & 0xffn);
  return bytes;
}

/** @param {bigint} number */
function positive(number) {
  return (number % P + P) % P;
}

/** @param {bigint} base @param {bigint} exponent which anybody may know */
function power(base, exponent) {
  let result = 1n;
  for (let bit = 255n; bit >= 0n; bit--) {
    result = result * result % P;
    if ((exponent >> bit) & 1n) result = result * base % P;
  }
  return result;
}
