// @ts-check
// The QR encoder in static/vendor is a file of another project: https://www.npmjs.com/package/qr
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import jsQR from 'jsqr';
import { encodeQR } from '../static/vendor/qr.js';

test('the encoder is the published one, byte for byte, and comes with its licence', () => {
  /** @param {string} file */
  const ours = (file) => readFileSync(new URL(`../static/vendor/${file}`, import.meta.url));
  /** @param {string} file */
  const published = (file) => readFileSync(new URL(`../../node_modules/qr/${file}`, import.meta.url));
  assert.ok(ours('qr.js').equals(published('index.js')));
  assert.ok(ours('qr.d.ts').equals(published('index.d.ts')));
  assert.ok(ours('qr.LICENSE.txt').equals(published('LICENSE-MIT')));
});

test('a decoder of somebody else reads links of every length', () => {
  for (let length = 20; length < 600; length += 61) {
    const text = `https://turn.example.org/r/k7m-2pq-x9r#invite=${'eyJhbGciOi.JIUzI1Ni-sInR5_cCI6'.repeat(20)}`.slice(0, length);
    const rows = encodeQR(text, 'raw', { ecc: 'low', border: 3 });
    const scale = 4;
    const side = rows.length * scale;
    const pixels = new Uint8ClampedArray(side * side * 4);
    for (let i = 0; i < side * side; i++) {
      const dark = rows[Math.floor(i / side / scale)]?.[Math.floor((i % side) / scale)];
      pixels.set([dark ? 0 : 255, dark ? 0 : 255, dark ? 0 : 255, 255], 4 * i);
    }
    assert.equal(jsQR(pixels, side, side)?.data, text);
  }
});
