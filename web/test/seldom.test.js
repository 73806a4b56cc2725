// @ts-check
// What peers cause again and again happens at once, and then seldom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTimers } from './fakes.js';
import { seldom } from '../static/elements/stage/seldom.js';

test('the first time is at once, all that comes soon after counts together, and the last is not lost', () => {
  const timers = new FakeTimers();
  try {
    /** @type {number[]} */
    const ran = [];
    const call = seldom(() => ran.push(performance.now()));
    for (let i = 0; i < 100; i++) {
      call();
      timers.tick(10);
    }
    assert.deepEqual(ran, [0, 500, 1000]);
    timers.tick(5000);
    assert.deepEqual([ran, timers.waiting], [[0, 500, 1000], 0]);
    call();
    assert.deepEqual(ran, [0, 500, 1000, 6000]);
  } finally {
    timers.restore();
  }
});
