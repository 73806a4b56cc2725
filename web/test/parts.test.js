// @ts-check
// Parts of the page that load when they are first used.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPart } from '../static/parts.js';
import { codeOf } from '../static/sdk/error.js';
import { wordsFor } from '../static/words.js';

test('a part that does not load says so, and loads when it is needed again', async () => {
  Object.defineProperty(globalThis, 'document', { configurable: true, value: { querySelector: () => ({}) } });
  /** @type {unknown} */
  let error;
  await loadPart('settings', Promise.reject(new TypeError('Failed to fetch'))).catch((reason) => (error = reason));
  assert.deepEqual([codeOf(error), wordsFor(error).code], ['not-loaded', 'not-loaded']);
  assert.equal(await loadPart('settings', Promise.resolve(7)), 7);
});
