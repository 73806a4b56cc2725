// @ts-check
// Where files go that the browser saves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepForLater } from '../static/files/places.js';

/** The names in a zip file of empty files. @param {Blob | undefined} zip */
async function namesIn(zip) {
  const view = new DataView((await zip?.arrayBuffer()) ?? new ArrayBuffer(0));
  const names = [];
  for (let at = 0; view.getUint32(at, true) === 0x04034b50;) {
    const length = view.getUint16(at + 26, true);
    names.push(new TextDecoder().decode(new Uint8Array(view.buffer, at + 30, length)));
    at += 30 + length + view.getUint16(at + 28, true);
  }
  return names;
}

/** @param {string[]} paths */
async function zipOf(paths) {
  const place = await keepForLater(paths.map((path) => ({ path, size: 0, folder: false })));
  for (const path of paths) {
    await place.begin({ path, size: 0, folder: false });
    await place.end();
  }
  await place.close();
  return namesIn(place.unsaved()?.blob);
}

test('names that are one to some system have numbers, also those that look like a number', async () => {
  assert.deepEqual(await zipOf(['a.txt', 'A.txt', 'a (2).txt', 'a:txt', 'a?txt', 'b']), ['a.txt', 'A (2).txt', 'a (2) (2).txt', 'a_txt', 'a_txt (2)', 'b']);
  assert.deepEqual(await zipOf(['a (2).txt', 'a.txt', 'A.txt', 'a.TXT']), ['a (2).txt', 'a.txt', 'A (3).txt', 'a (4).TXT']);
});

test('many names that are one take no longer than others', async () => {
  const signs = [...':?*|"<>'];
  const paths = Array.from({ length: 16_000 }, (_, i) => Array.from({ length: 5 }, (_, digit) => signs[Math.floor(i / signs.length ** digit) % signs.length]).join(''));
  const begin = process.cpuUsage();
  const names = await zipOf(paths);
  assert.equal(new Set(names.map((name) => name.toLowerCase())).size, paths.length);
  assert.ok(process.cpuUsage(begin).user < 20e6, 'it took longer than 20 s');
});
