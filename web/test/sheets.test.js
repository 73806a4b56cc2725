// @ts-check
// Where bytes are kept until they are saved, in browsers that have no files of their own for a page, as Node.js has none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { privateSheet } from '../static/files/sheets.js';

/** @param {number} length @param {number} value */
const filled = (length, value) => new Uint8Array(length).fill(value);

test('memory holds what was written last at each place', async () => {
  const sheet = await privateSheet(0);
  await sheet.write(filled(30, 1), 0);
  await sheet.write(filled(100, 2), 30);
  await sheet.write(filled(4, 3), 14); // as into a header
  await sheet.write(filled(40, 4), 0); // as after a file that failed
  await sheet.write(filled(20, 5), 40);
  const blob = await sheet.close(60);
  assert.deepEqual(new Uint8Array((await blob?.arrayBuffer()) ?? []), new Uint8Array([...filled(40, 4), ...filled(20, 5)]));
});

test('memory is as a file would be, wherever is written', async () => {
  let seed = 7;
  const random = (/** @type {number} */ below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 50; round++) {
    const sheet = await privateSheet(0);
    let length = 0;
    const file = new Uint8Array(20_000);
    for (let i = 0; i < 60; i++) {
      const at = random(3) ? length : random(length + 1);
      const bytes = filled(random(200), 1 + random(255));
      file.set(bytes, at);
      length = Math.max(length, at + bytes.length);
      await sheet.write(bytes, at);
    }
    const size = random(length + 1);
    assert.deepEqual(new Uint8Array((await (await sheet.close(size))?.arrayBuffer()) ?? []), file.slice(0, size));
  }
});

test('memory takes many files of a zip file without looking at all of them again', async () => {
  const sheet = await privateSheet(0);
  const begin = process.cpuUsage();
  for (let i = 0; i < 3000; i++) {
    await sheet.write(filled(40, 1), i * 60);
    await sheet.write(filled(20, 2), i * 60 + 40);
    await sheet.write(filled(4, 3), i * 60 + 14);
  }
  const blob = await sheet.close(3000 * 60);
  assert.equal(blob?.size, 3000 * 60);
  assert.ok(process.cpuUsage(begin).user < 20e6, 'it took longer than 20 s');
});
