// @ts-check
// SPAKE2 of the page, held by the RFC's vectors, and by those of codes. Go tests read the same files.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import './fakes.js';
import { GENERATOR, ORDER, POINT_BYTES, add, bytesOf, decode, encode, isInfinity, multiply, negate, numberOf } from '../static/code/p256.js';
import { begin, passwordOf, start } from '../static/code/spake2.js';

/** @param {string} name @returns {Record<string, string>[]} */
function vectorsIn(name) {
  return JSON.parse(readFileSync(new URL(`../../internal/spake2/testdata/${name}`, import.meta.url), 'utf8'));
}

/** @param {Uint8Array} bytes */
const hex = (bytes) => Buffer.from(bytes).toString('hex');

/** @param {string} [digits] */
const bytes = (digits = '') => new Uint8Array(Buffer.from(digits, 'hex'));

const NOTHING = new Uint8Array();

for (const name of ['rfc9382.json', 'codes.json']) {
  for (const { A = 'sender', B = 'receiver', words, binding, ...v } of vectorsIn(name)) {
    test(`${name}: ${words ?? `${A}, ${B}`}`, async () => {
      const w = words === undefined ? numberOf(bytes(v.w)) : await passwordOf(words);
      assert.equal(hex(bytesOf(w)), v.w);
      const run = { w, identities: { A, B }, additional: bytes(binding) };
      const a = begin({ ...run, role: 'A', drawn: numberOf(bytes(v.x)) });
      const b = begin({ ...run, role: 'B', drawn: numberOf(bytes(v.y)) });
      assert.equal(hex(a.share), v.pA);
      assert.equal(hex(b.share), v.pB);
      const [ofA, ofB] = await Promise.all([a.finish(b.share), b.finish(a.share)]);
      assert.equal(hex(ofA.confirmation), v.cA);
      assert.equal(hex(ofB.confirmation), v.cB);
      assert.ok(ofA.verify(bytes(v.cB)) && ofB.verify(bytes(v.cA)));
    });
  }
}

test('only two sides that are alike confirm each other', async () => {
  const binding = new Uint8Array(32);
  /** @type {[name: string, words: string, binding: Uint8Array<ArrayBuffer>, want: boolean][]} */
  const cases = [
    ['alike', 'crossover-clockwork', binding, true],
    ['other words', 'crossover-cobra', binding, false],
    ['another connection', 'crossover-clockwork', new Uint8Array(32).fill(1), false],
  ];
  for (const [name, words, theirs, want] of cases) {
    const sender = await start('sender', 'crossover-clockwork', binding);
    const receiver = await start('receiver', words, theirs);
    const [ofSender, ofReceiver] = await Promise.all([sender.finish(receiver.share), receiver.finish(sender.share)]);
    assert.equal(ofSender.verify(ofReceiver.confirmation), want, name);
    assert.equal(ofReceiver.verify(ofSender.confirmation), want, name);
    assert.equal(ofSender.verify(ofSender.confirmation), false, `${name}: reflected`);
    for (const wrong of [NOTHING, ofReceiver.confirmation.slice(1), new Uint8Array([...ofReceiver.confirmation, 0]), new Uint8Array(32)]) {
      assert.equal(ofSender.verify(wrong), false, name);
    }
  }
});

test('a share is drawn anew each time, and answers one other', async () => {
  const one = await start('sender', 'words', NOTHING);
  const other = await start('sender', 'words', NOTHING);
  assert.notDeepEqual(one.share, other.share);
  await one.finish((await start('receiver', 'words', NOTHING)).share);
  await assert.rejects(one.finish(other.share), /answers one other/);
  await assert.rejects(start('sender', '', NOTHING), RangeError);
});

test('bytes that no side could have drawn are refused', async () => {
  const w = await passwordOf('words');
  const good = (await start('receiver', 'words', NOTHING)).share;
  const small = bytes('040000000000000000000000000000000000000000000000000000000000000005459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc');
  assert.deepEqual(encode(decode(small)), small);
  const beyond = bytesOf(5n + 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n);
  const N = decode(bytes('04d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b4907d60aa6bfade45008a636337f5168c64d9bd36034808cd564490b1e656edbe7'));
  /** @type {[name: string, share: Uint8Array][]} */
  const bad = [
    ['nothing', NOTHING],
    ['the point at infinity', new Uint8Array(1)],
    ['zeros', new Uint8Array(POINT_BYTES)],
    ['4 and zeros', changed(new Uint8Array(POINT_BYTES), 0, 4)],
    ['compressed', changed(good.slice(0, 33), 0, 2 + ((good[64] ?? 0) & 1))],
    ['hybrid', changed(good, 0, 6 + ((good[64] ?? 0) & 1))],
    ['off the curve', changed(good, 64, (good[64] ?? 0) ^ 1)],
    ['x beyond the field', new Uint8Array([4, ...beyond, ...small.slice(33)])],
    ['too short', good.slice(0, 64)],
    ['too long', new Uint8Array([...good, 0])],
    ['w*N: the sum is at infinity', encode(multiply(w, N))],
  ];
  for (const [name, share] of bad) {
    await assert.rejects((await start('sender', 'words', NOTHING)).finish(share), RangeError, name);
  }
});

/** @param {Uint8Array} bytes @param {number} at @param {number} byte */
function changed(bytes, at, byte) {
  const copy = bytes.slice();
  copy[at] = byte;
  return copy;
}

test('points add as on the curve, also where formulas often fail', () => {
  const twice = add(GENERATOR, GENERATOR);
  assert.deepEqual(encode(multiply(2n, GENERATOR)), encode(twice));
  assert.deepEqual(encode(add(twice, GENERATOR)), encode(multiply(3n, GENERATOR)));
  assert.ok(isInfinity(add(GENERATOR, negate(GENERATOR))));
  assert.ok(isInfinity(multiply(ORDER, GENERATOR)));
  assert.ok(isInfinity(multiply(0n, GENERATOR)));
  assert.deepEqual(encode(multiply(ORDER + 1n, GENERATOR)), encode(GENERATOR));
  assert.deepEqual(encode(add(multiply(0n, GENERATOR), GENERATOR)), encode(GENERATOR));
  assert.deepEqual(encode(multiply(ORDER - 1n, GENERATOR)), encode(negate(GENERATOR)));
});

test('multiples are those of Web Crypto', async () => {
  for (let turn = 0; turn < 8; turn++) {
    const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
    const { d = '' } = await crypto.subtle.exportKey('jwk', privateKey);
    const scalar = numberOf(Buffer.from(d, 'base64url'));
    assert.equal(hex(encode(multiply(scalar, GENERATOR))), hex(new Uint8Array(await crypto.subtle.exportKey('raw', publicKey))));
  }
});
