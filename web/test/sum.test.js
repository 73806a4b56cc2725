// @ts-check
// SHA-256 of @noble/hashes in static/vendor, and the sums of files that come in pieces.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RunningSum } from '../static/files/sum.js';

test('the library is the published one, byte for byte, and comes with its licence', () => {
  /** @param {string} file */
  const ours = (file) => readFileSync(new URL(`../static/vendor/noble/${file}`, import.meta.url));
  /** @param {string} file */
  const published = (file) => readFileSync(new URL(`../../node_modules/@noble/hashes/${file}`, import.meta.url));
  for (const name of ['sha2', '_md', '_u64', 'utils']) {
    for (const ending of ['js', 'd.ts']) assert.ok(ours(`${name}.${ending}`).equals(published(`${name}.${ending}`)), `${name}.${ending}`);
  }
  assert.ok(ours('LICENSE.txt').equals(published('LICENSE')));
});

const bytes = Uint8Array.from({ length: 5000 }, (_, place) => (place * 7) % 251);
const whole = createHash('sha256').update(bytes).digest('hex');
/** @param {RunningSum} sum */
const hex = (sum) => Buffer.from(sum.digest()).toString('hex');

test('a sum of pieces is the sum of the whole, by another program', () => {
  const sum = new RunningSum();
  for (let at = 0; at < bytes.length; at += 613) sum.add(bytes.subarray(at, at + 613));
  assert.equal(hex(sum), whole);
  assert.equal(hex(sum), whole); // Who asks twice gets the same.
  assert.equal(hex(new RunningSum()), createHash('sha256').digest('hex'));
});

test('pieces may come in any order, twice, and too early', () => {
  const sum = new RunningSum();
  const piece = (/** @type {number} */ place) => sum.addAt(place * 500, bytes.subarray(place * 500, place * 500 + 500));
  for (const place of [1, 2, 0, 0, 4, 3, 9, 8, 7, 5]) piece(place);
  assert.equal(sum.at, 3000);
  for (const place of [6]) piece(place);
  assert.equal(sum.at, 5000);
  assert.equal(hex(sum), whole);
});

test('of what is far too early, no more is kept than fits', () => {
  const sum = new RunningSum(800);
  for (let place = 1; place < 50; place++) sum.addAt(place * 100, bytes.subarray(place * 100, place * 100 + 100));
  sum.addAt(0, bytes.subarray(0, 100));
  assert.equal(sum.at, 900); // and no more than 800 of what came too early
  for (; sum.at < 5000;) sum.addAt(sum.at, bytes.subarray(sum.at, sum.at + 100));
  assert.equal(hex(sum), whole);
});
