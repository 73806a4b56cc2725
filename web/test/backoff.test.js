// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../static/sdk/server/backoff.js';

test('pauses grow up to 15 s, and are partly random', () => {
  assert.equal(backoff(0, () => 0), 250);
  assert.equal(backoff(0, () => 1), 500);
  assert.equal(backoff(3, () => 1), 4000);
  assert.equal(backoff(1000, () => 1), 15_000);
});
