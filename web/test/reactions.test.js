// @ts-check
// Reactions: a few that everybody knows, and not too many of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTimers } from './fakes.js';
import { REACTIONS, Rates } from '../static/elements/room/reactionset.js';

const LIKE = '\u{1f44d}';

test('only the reactions that there are are shown', () => {
  const hostile = [null, 7, LIKE, {}, { emoji: 7 }, { emoji: '' }, { emoji: 'like' }, { emoji: '\u{1f4a9}' }, { emoji: LIKE.repeat(2) }, { emoji: `${LIKE}<b>` },
    { emoji: 'constructor' }, { emoji: '__proto__' }, { emoji: 'toString' }, { emoji: [LIKE] }];
  const rates = new Rates();
  for (const data of hostile) assert.equal(rates.take('me', data), undefined, JSON.stringify(data));
  assert.deepEqual(rates.take('me', { emoji: LIKE }), { drawing: 'like', told: true });
  assert.equal(new Set(Object.values(REACTIONS)).size, 6);
});

test('each person is shown three at once, then two a second, and told of every three seconds', () => {
  const timers = new FakeTimers();
  try {
    const rates = new Rates();
    const [ann, ben] = /** @type {any[]} */ ([{ name: 'ann' }, { name: 'ben' }]);
    const shown = () => Array.from({ length: 100 }, () => rates.take(ann, { emoji: LIKE })).filter((taken) => taken);
    assert.deepEqual(shown().map((taken) => taken?.told), [true, false, false]);
    assert.equal(rates.take(ben, { emoji: LIKE })?.told, true, 'the others are heard all the same');
    timers.tick(1000);
    assert.deepEqual(shown().map((taken) => taken?.told), [false, false]);
    timers.tick(60_000);
    assert.deepEqual(shown().map((taken) => taken?.told), [true, false, false]);
    rates.forget(ann);
    assert.equal(shown().length, 3);
  } finally {
    timers.restore();
  }
});
