// @ts-check
// What somebody chooses to send, under which name it is saved, and how sizes and times are said.
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { test } from 'node:test';
import { Choice } from '../static/files/choosing.js';
import { EntryList } from '../static/files/names.js';
import { isOneFile, nameFor } from '../static/files/places.js';
import { Pace, duration, files, size } from '../static/quantities.js';

/** @param {string} path @param {number} [length] */
function file(path, length = 1) {
  const made = new File([new Uint8Array(length)], path.split('/').at(-1) ?? '');
  Object.defineProperty(made, 'webkitRelativePath', { value: path.includes('/') ? path : '' });
  return /** @type {globalThis.File} */ (/** @type {unknown} */ (made));
}

test('folders come before what is in them, each once, and the list is one that receivers take', () => {
  const choice = new Choice();
  choice.addFiles([file('photos/2026/cat.jpg', 5), file('photos/dog.jpg', 3), file('letter.txt', 2)]);
  choice.addFiles([file('photos/2026/cat.jpg', 7)]); // chosen once more, and longer now
  assert.deepEqual(choice.entries.map(({ path, file }) => [path, file?.size]), [
    ['photos', undefined], ['photos/2026', undefined], ['photos/2026/cat.jpg', 7], ['photos/dog.jpg', 3], ['letter.txt', 2],
  ]);
  assert.deepEqual(choice.tops, [{ path: 'photos', isFolder: true, files: 2, bytes: 10 }, { path: 'letter.txt', isFolder: false, files: 1, bytes: 2 }]);
  const list = new EntryList();
  for (const { path, file } of choice.entries) list.add(file ? { path, size: file.size } : { path, folder: true });
  list.check({ entries: 5, bytes: choice.bytes });
  choice.remove('photos');
  assert.deepEqual(choice.entries.map(({ path }) => path), ['letter.txt']);
  assert.deepEqual([choice.files, choice.bytes], [1, 2]);
});

test('names that no receiver takes are left out, and so is a file in the place of a folder', () => {
  const choice = new Choice();
  choice.addFiles([file('.cat.jpg.turnpike-part'), file('x'.repeat(256)), file('a'), file('a/b'), file('c/d')]);
  choice.add('c', file('c'));
  assert.deepEqual(choice.entries.map(({ path }) => path), ['a', 'c', 'c/d']);
  assert.equal(choice.refused.length, 4);
});

test('a list that is longer than receivers take is known before', () => {
  const choice = new Choice();
  for (let number = 0; number < 100_000; number++) choice.add(String(number));
  assert.ok(!choice.isTooLong);
  choice.add('one more');
  assert.ok(choice.isTooLong);
});

/** @param {string} path */
const entry = (path, folder = false) => ({ path, folder, size: folder ? 0 : 1 });

test('one file is saved as itself, and more of them as one zip file', () => {
  assert.equal(nameFor([entry('cat.jpg')]), 'cat.jpg');
  assert.equal(nameFor([entry('photos', true), entry('photos/cat.jpg')]), 'photos.zip');
  assert.equal(nameFor([entry('a'), entry('b')]), 'files.zip');
  assert.equal(nameFor([entry('photos', true)]), 'photos.zip');
  assert.equal(nameFor([entry('CON')]), '_CON');
  assert.ok(isOneFile([entry('x')]) && !isOneFile([entry('x', true)]) && !isOneFile([entry('x'), entry('y')]));
});

test('sizes, times and numbers as people say them', () => {
  assert.deepEqual([0, 1, 999, 1000, 9949, 9950, 999_499, 999_500, 3_145_728, 5e9, 2e15].map(size),
    ['0 bytes', '1 byte', '999 bytes', '1.0 kB', '9.9 kB', '10 kB', '999 kB', '1.0 MB', '3.1 MB', '5.0 GB', '2.0 PB']);
  assert.deepEqual([0, 0.4, 59, 60, 119, 3569, 3600, 5400].map(duration), ['1 s', '1 s', '59 s', '1 min', '2 min', '59 min', '1 h 0 min', '1 h 30 min']);
  assert.deepEqual([files(1).text, files(3).text], ['one file', '3 files']);
});

test('the pace is that of the last seconds', () => {
  const pace = new Pace();
  pace.add(0, 0);
  assert.equal(pace.rate, 0);
  for (let second = 1; second <= 10; second++) pace.add(second * 1000, second * 1000);
  assert.equal(Math.round(pace.rate), 1000);
  for (let second = 11; second <= 17; second++) pace.add(10_000 + (second - 10) * 9000, second * 1000);
  assert.equal(Math.round(pace.rate), 9000);
  pace.clear();
  assert.equal(pace.rate, 0);
});
