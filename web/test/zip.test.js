// @ts-check
// Zip files. Go's archive/zip reads those of web/testdata, which this test holds to be what is written.
// TURNPIKE_UPDATE=1 writes them anew.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { crc32 } from '../static/files/crc32.js';
import { ZipWriter } from '../static/files/zip.js';

process.env.TZ = 'UTC'; // The old form of times has no zone.

/** Memory that can be written at any place; without bytes, it only counts. */
class Target {
  #bytes = new Uint8Array(1 << 20);
  end = 0;
  /** @type {{ at: number, bytes: Uint8Array }[]} */
  writes = [];

  /** @param {Uint8Array} bytes @param {number} at */
  async write(bytes, at) {
    this.writes.push({ at, bytes: bytes.slice(0, 1 << 16) });
    if (at + bytes.length <= this.#bytes.length) this.#bytes.set(bytes, at);
    this.end = Math.max(this.end, at + bytes.length);
  }

  /** @param {number} length */
  first(length) {
    return this.#bytes.subarray(0, length);
  }
}

const text = (/** @type {string} */ words) => new TextEncoder().encode(words);

test('crc32 is that of others, whatever the pieces', () => {
  // The check value of the catalogue of CRCs, and one that Go computed.
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
  const bytes = Uint8Array.from({ length: 1000 }, (_, place) => (place * 7) % 251);
  const whole = crc32(bytes);
  for (const cut of [0, 1, 7, 8, 9, 500, 999, 1000]) assert.equal(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut))), whole, `cut at ${cut}`);
  const reference = /** @type {any} */ (zlib).crc32;
  if (reference) assert.equal(whole, reference(bytes)); // of Node.js 20.15 and later
});

test('a zip file is what Go reads', async () => {
  const target = new Target();
  const zip = new ZipWriter(target);
  const modified = Date.UTC(2026, 4, 1, 8, 0, 1);
  await zip.begin({ path: 'photos/', modified });
  await zip.end();
  await zip.begin({ path: 'photos/cät.txt', size: 11, modified });
  await zip.write(text('hello '));
  await zip.write(text('world'));
  await zip.end();
  await zip.begin({ path: 'given up', size: 100 });
  await zip.write(text('half of it, and more than what follows is long, so that it must be cut off at the end'.repeat(9)));
  zip.abandon();
  await zip.begin({ path: 'run.sh', size: 3, executable: true });
  await zip.write(text('#!/'));
  await zip.end();
  await zip.begin({ path: 'stdin', size: undefined });
  await zip.write(text('of a length that nobody knew'));
  await zip.end();
  await zip.begin({ path: 'empty', size: 0 });
  await zip.end();
  const bytes = target.first(await zip.close());
  const golden = new URL('../testdata/files.zip', import.meta.url);
  if (process.env.TURNPIKE_UPDATE) writeFileSync(golden, bytes);
  assert.ok(Buffer.from(bytes).equals(readFileSync(golden)), 'web/testdata/files.zip is another one');
});

test('beyond 4 GiB the numbers stand where ZIP64 has them', async () => {
  const target = new Target();
  const zip = new ZipWriter(target, () => 1); // The sum of 5 GiB takes its time.
  const chunk = new Uint8Array(16 << 20);
  const size = 5 * 2 ** 30;
  await zip.begin({ path: 'big', size });
  for (let at = 0; at < size; at += chunk.length) await zip.write(chunk);
  await zip.end();
  await zip.begin({ path: 'after', size: 1 });
  await zip.write(text('x'));
  await zip.end();
  const length = await zip.close();
  const start = 30 + 3 + 20 + size; // a header, its name, and the sizes beside it
  const u = (/** @type {number} */ at) => {
    const write = target.writes.find((one) => at >= one.at && at < one.at + one.bytes.length);
    return write ? new DataView(write.bytes.buffer, write.bytes.byteOffset + at - write.at) : assert.fail(`nothing was written at ${at}`);
  };
  assert.deepEqual([u(18).getUint32(0, true), u(33).getUint16(0, true)], [0xffffffff, 1]);
  assert.equal(u(37).getBigUint64(0, true), BigInt(size));
  assert.equal(u(start).getUint32(0, true), 0x04034b50);
  const list = start + 30 + 5 + 1;
  assert.equal(u(list).getUint32(0, true), 0x02014b50);
  assert.equal(u(list + 46 + 3 + 4).getBigUint64(0, true), BigInt(size));
  const second = list + 46 + 3 + 20;
  assert.deepEqual([u(second + 42).getUint32(0, true), u(second + 46 + 5 + 4).getBigUint64(0, true)], [0xffffffff, BigInt(start)]);
  const end = second + 46 + 5 + 12;
  assert.deepEqual([u(end).getUint32(0, true), u(end + 48).getBigUint64(0, true)], [0x06064b50, BigInt(list)]);
  assert.equal(length, end + 56 + 20 + 22);
});
