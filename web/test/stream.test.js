// @ts-check
// Streams on channels, as docs/peer-protocol.md has them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stream } from '../static/files/stream.js';
import { emit } from '../static/sdk/emitter.js';
import { asPeerChannel, channels, streams } from './channels.js';
import { FakeTimers } from './fakes.js';

const bytes = (/** @type {number} */ length) => Uint8Array.from({ length }, (_, place) => place % 251);

test('bytes are cut into messages of 16,384 bytes at most, and come as they were', async () => {
  const [ours, theirs] = channels('x');
  const [one, other] = [new Stream(asPeerChannel(ours)), new Stream(asPeerChannel(theirs))];
  await one.write(bytes(40_000));
  assert.deepEqual(ours.sent.map((part) => /** @type {ArrayBuffer} */ (part).byteLength), [16_384, 16_384, 7232]);
  assert.deepEqual(await other.readExactly(39_000), bytes(40_000).subarray(0, 39_000));
  assert.deepEqual(await other.readExactly(1000), bytes(40_000).subarray(39_000));
});

test('each direction ends on its own, and the channel closes when both have ended and were read', async () => {
  const [ours, theirs] = channels('x');
  const [one, other] = [new Stream(asPeerChannel(ours)), new Stream(asPeerChannel(theirs))];
  await one.end();
  assert.equal(await other.read(), undefined);
  assert.deepEqual(theirs.sent, ['read']);
  await other.write(bytes(3)); // after the other's end
  assert.deepEqual(await one.read(), bytes(3));
  await other.end();
  assert.equal(await one.readRecord(16), undefined);
  assert.ok(ours.isClosed && theirs.isClosed);
  assert.equal(await one.read(), undefined); // The end stays the end.
});

test('an end within a record or a line is a break', async () => {
  for (const read of [(/** @type {Stream} */ s) => s.readRecord(16), (/** @type {Stream} */ s) => s.readExactly(16), (/** @type {Stream} */ s) => s.readLine(100)]) {
    const [one, other] = streams('x');
    await one.write(bytes(3));
    await one.end();
    await assert.rejects(read(other), { name: 'BrokenStreamError' });
  }
});

test('lines', async () => {
  const [one, other] = streams('x');
  await one.write(new TextEncoder().encode('first\nsec'));
  await one.write(new TextEncoder().encode('ond ä\n\nrest'));
  assert.equal(await other.readLine(20), 'first');
  assert.equal(await other.readLine(20), 'second ä');
  assert.equal(await other.readLine(20), '');
  await assert.rejects(other.readLine(3), { name: 'BrokenStreamError' });
});

test('a break ends all that waits, and what had come before it can be read', async () => {
  const [ours, theirs] = channels('x');
  const [one, other] = [new Stream(asPeerChannel(ours)), new Stream(asPeerChannel(theirs))];
  await one.write(bytes(2));
  emit(theirs, 'interrupted', null);
  assert.ok(other.isBroken);
  assert.deepEqual(await other.read(), bytes(2));
  await assert.rejects(other.read(), { name: 'BrokenStreamError' });
  await assert.rejects(other.write(bytes(1)), { name: 'BrokenStreamError' });
  const waiting = one.read();
  one.abort();
  await assert.rejects(waiting, { name: 'BrokenStreamError' });
});

test('what nobody reads is not kept without bound, and other texts end the stream', async () => {
  const [one, other] = streams('x');
  for (let i = 0; i < 33 && !other.isBroken; i++) await one.write(new Uint8Array(1 << 20)).catch(() => {});
  assert.ok(other.isBroken);
  const [strangers, code] = channels('code');
  const bounded = new Stream(asPeerChannel(code), 1024);
  await strangers.send(new Uint8Array(1024));
  assert.ok(!bounded.isBroken);
  await strangers.send(new Uint8Array(1));
  assert.ok(bounded.isBroken && strangers.isClosed);
  const [ours, theirs] = channels('y');
  const stream = new Stream(asPeerChannel(theirs));
  await ours.send('hello');
  assert.ok(stream.isBroken && ours.isClosed);
});

test('a stream that is closed in order says what was said before, and waits for no side that is silent', async (t) => {
  const timers = new FakeTimers();
  t.after(() => timers.restore());
  const [ours, theirs] = channels('x');
  const [one, other] = [new Stream(asPeerChannel(ours)), new Stream(asPeerChannel(theirs))];
  await one.write(bytes(5));
  const closing = one.close();
  assert.deepEqual(await other.read(), bytes(5));
  assert.equal(await other.read(), undefined);
  assert.ok(!ours.isClosed);
  timers.tick(2000);
  await closing;
  assert.ok(ours.isClosed);
  const [first, second] = streams('y');
  await Promise.all([first.close(), second.close()]);
  assert.ok(first.isBroken && second.isBroken);
});
