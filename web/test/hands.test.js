// @ts-check
// Raised hands: the same order for everybody, also for people who come later, and no data of a peer breaks it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTimers } from './fakes.js';
import { FakePeer, handsOf, meeting } from './meeting.js';
import { emit } from '../static/sdk/emitter.js';

/** @typedef {import('./meeting.js').FakeRoom} FakeRoom */

/** @param {(timers: FakeTimers) => Promise<void>} run */
async function timed(run) {
  const timers = new FakeTimers();
  try {
    await run(timers);
  } finally {
    timers.restore();
  }
}

test('hands stand in the order of raising, which is the same for all, also for those who come later', () => timed(async (timers) => {
  const [a, b, c] = /** @type {[FakeRoom, FakeRoom, FakeRoom]} */ (meeting('ann', 'ben', 'cid'));
  const [x, y, z] = [a, b, c].map(handsOf);
  y?.hands.toggle();
  await timers.pass(200);
  x?.hands.toggle();
  await timers.pass(200);
  for (const each of [x, y, z]) assert.deepEqual(each?.places, { ben: 1, ann: 2 });
  assert.deepEqual(z?.said, ['ben', 'ann']);
  const [d] = /** @type {[FakeRoom]} */ (meeting('dan'));
  for (const other of [a, b, c]) {
    d.peers.set(other.session, new FakePeer(other.session, other));
  }
  const late = handsOf(d);
  for (const other of [a, b, c]) {
    const peer = new FakePeer('dan', d);
    other.peers.set('dan', peer);
    emit(/** @type {any} */ (other), 'peer-joined', { peer });
  }
  await timers.pass(200);
  assert.deepEqual(late.places, { ben: 1, ann: 2 });
  y?.hands.toggle();
  await timers.pass(200);
  for (const each of [x, z, late]) assert.deepEqual(each?.places, { ben: 0, ann: 1 });
  assert.equal(y?.hands.isUp, false);
}));

test('two who raise their hands at once are in the same order for both', () => timed(async (timers) => {
  const [a, b] = /** @type {[FakeRoom, FakeRoom]} */ (meeting('ann', 'ben'));
  const [x, y] = [handsOf(a), handsOf(b)];
  const { send } = a;
  /** @type {(() => void)[]} */
  const held = [];
  a.send = (data, options) => new Promise((resolve) => held.push(() => resolve(send.call(a, data, options))));
  x.hands.toggle();
  y.hands.toggle();
  held.forEach((release) => release());
  await timers.pass(200);
  assert.deepEqual([x.places, y.places], [{ ann: 1, ben: 2 }, { ann: 1, ben: 2 }]);
}));

test('only the host lowers the hand of somebody else', () => timed(async (timers) => {
  const [a, b, c] = /** @type {[FakeRoom, FakeRoom, FakeRoom]} */ (meeting('ann', 'ben', 'cid'));
  const [x, y, z] = /** @type {any[]} */ ([a, b, c].map(handsOf));
  b.host = b.peers.get('ann');
  y.hands.toggle();
  await timers.pass(200);
  z.hands.lower(c.peers.get('ben'));
  await timers.pass(200);
  assert.equal(y.hands.isUp, true);
  x.hands.lower(a.peers.get('ben'));
  await timers.pass(200);
  assert.equal(y.hands.isUp, false);
  assert.deepEqual([x.places.ben, y.places.ben, z.places.ben, y.said], [0, 0, 0, ['lowered']]);
}));

test('what a peer makes up raises no hand, and does not end the turns', () => timed(async (timers) => {
  const [a] = /** @type {[FakeRoom]} */ (meeting('ann', 'bad'));
  const { hands, places, said } = handsOf(a);
  const bad = [null, 7, 'raised', [], {}, { raised: 'yes' }, { raised: true }, ...[0, -1, 1.5, '1', 1e10, NaN, Infinity, null, {}].map((turn) => ({ raised: true, turn }))];
  for (const data of bad) a.hears(data, 'bad');
  a.hears({ raised: true, turn: 1 }, 'bad', 'another.topic');
  await timers.pass(200);
  assert.deepEqual(places, {});
  a.hears({ raised: true, turn: 1e9 }, 'bad');
  hands.toggle();
  await timers.pass(200);
  assert.deepEqual([places.ann, places.bad], [1, 2], 'a turn of the greatest number goes first to the smaller session');
  assert.equal(a.sent.at(-1).data.turn, 1e9);
  for (let i = 0; i < 1000; i++) a.hears({ raised: i % 2 === 0, turn: 1 }, 'bad');
  await timers.pass(1000);
  assert.deepEqual(said, ['bad'], 'and is told of once');
}));

test('a peer that could not be told is told once it is connected, and one that has begun anew as well', () => timed(async (timers) => {
  const [a, b] = /** @type {[FakeRoom, FakeRoom]} */ (meeting('ann', 'ben'));
  const [x, y] = [handsOf(a), handsOf(b)];
  a.isReached = false;
  x.hands.toggle();
  await timers.pass(200);
  assert.deepEqual(y.places, {});
  a.isReached = true;
  emit(/** @type {any} */ (a.peers.get('ben')), 'state', 'connected');
  await timers.pass(200);
  assert.deepEqual(y.places, { ann: 1 });
  a.isReached = false;
  x.hands.toggle();
  await timers.pass(200);
  a.isReached = true;
  emit(/** @type {any} */ (a.peers.get('ben')), 'state', 'connected');
  await timers.pass(200);
  assert.deepEqual(y.places, { ann: 0 }, 'also that the hand is down');
  x.hands.toggle();
  await timers.pass(200);
  y.ended.abort();
  const again = handsOf(b);
  emit(/** @type {any} */ (a), 'peer-back', { peer: a.peers.get('ben'), fresh: true });
  await timers.pass(200);
  assert.deepEqual(again.places, { ann: 1 });
  emit(/** @type {any} */ (b), 'peer-back', { peer: b.peers.get('ann'), fresh: true });
  await timers.pass(200);
  assert.deepEqual(again.places, { ann: 0 }, 'whose page was loaded again has the hand down');
  emit(/** @type {any} */ (a), 'peer-left', { peer: a.peers.get('ben') });
  x.ended.abort();
}));

test('when we leave, our hand is down, and no timer goes on', () => timed(async (timers) => {
  const [a] = /** @type {[FakeRoom]} */ (meeting('ann', 'ben'));
  const { hands, places, said, ended } = handsOf(a);
  hands.toggle();
  a.hears({ raised: true, turn: 2 }, 'ben');
  await timers.pass(200);
  assert.deepEqual(places, { ann: 1, ben: 2 });
  a.hears({ raised: false }, 'ben');
  ended.abort();
  assert.deepEqual([hands.isUp, places.ann], [false, 0], 'in the room that comes next, nobody knows of it');
  assert.equal(timers.waiting, 0);
  assert.deepEqual(said, ['ben']);
}));
