// @ts-check
// The page understands its own topics, as signal/PROTOCOL.md shows them: the examples are in signal/wire/testdata/page.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { FakeTimers } from './fakes.js';
import { handsOf, meeting } from './meeting.js';
import { isMuteRequest } from '../static/elements/room/requests.js';
import { seen } from '../static/elements/chat/delivery.js';
import { SEEN, seenIn } from '../static/elements/chat/receipts.js';
import { REACTION, Rates } from '../static/elements/room/reactionset.js';

const folder = new URL('../../signal/wire/testdata/page/', import.meta.url);

/** What must be true after the data of each example, by the name of its file. @type {Record<string, (data: any, timers: FakeTimers) => unknown>} */
const understood = {
  'hand-raised.json': async (data, timers) => {
    const [room] = meeting('ann', 'ben');
    const { places } = handsOf(/** @type {any} */ (room));
    room?.hears(data, 'ben');
    await timers.pass(1000);
    assert.deepEqual(places, { ben: 1 });
  },
  'hand-down.json': async (data, timers) => {
    const [room] = meeting('ann', 'ben');
    const { places } = handsOf(/** @type {any} */ (room));
    room?.hears({ raised: true, turn: 1 }, 'ben');
    await timers.pass(1000);
    room?.hears(data, 'ben');
    await timers.pass(1000);
    assert.deepEqual(places, { ben: 0 });
  },
  'hand-lower.json': (data) => {
    const [room] = /** @type {any[]} */ (meeting('ann', 'ben'));
    const { hands } = handsOf(room);
    room.host = room.peers.get('ben');
    hands.toggle();
    room.hears(data, 'ben');
    assert.equal(hands.isUp, false);
  },
  'reaction.json': (data) => assert.equal(new Rates().take('me', data)?.drawing, 'like'),
  'seen.json': (data) => {
    const at = Date.parse('2026-01-31T12:00:00.000Z');
    const messages = [{ to: [{ user: 'ben', name: 'Ben', at, fate: /** @type {const} */ ('delivered') }] }];
    assert.deepEqual(seen(messages, 'ben', seenIn(data) ?? NaN), messages);
    assert.equal(messages[0]?.to[0]?.fate, 'seen');
  },
  'mute.json': (data) => assert.equal(isMuteRequest(data), true),
};

test('the page understands each example of its own topics', async () => {
  for (const file of readdirSync(folder)) {
    const { message } = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
    assert.match(message.topic, /^page\./, file);
    const check = understood[file];
    assert.ok(check, `nothing is known of ${file}`);
    const timers = new FakeTimers();
    try {
      await check(message.data, timers);
    } finally {
      timers.restore();
    }
  }
  assert.equal(REACTION, 'page.reaction');
  assert.equal(SEEN, 'page.seen');
});
