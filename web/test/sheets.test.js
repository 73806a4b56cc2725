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
