// @ts-check
// What the chat of the page knows without a page: what has become of messages, days, and emoji.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayWords, isSameMinute } from '../static/elements/chat/days.js';
import { delivered, failed, isSettled, seen, summary, waitingFor } from '../static/elements/chat/delivery.js';
import { isEmoji } from '../static/elements/chat/emoji.js';
import { seenData, seenIn } from '../static/elements/chat/receipts.js';
import { say } from '../static/words/room.js';

/** @import { Reader } from '../static/elements/chat/delivery.js' */

/** Messages at these times, each for all of these users. @param {number[]} times @param {string[]} users */
function sent(times, users = ['ann', 'ben', 'cid']) {
  return times.map((at) => ({ at, to: users.map((user) => /** @type {Reader} */ ({ user, name: user.toUpperCase(), at, fate: 'sent' })) }));
}

/** @param {{ to: Reader[] }[]} messages */
const fates = (messages) => messages.map(({ to }) => to.map(({ fate }) => fate).join());

/** @param {{ to: Reader[] }} message @param {string[]} [away] */
function said({ to }, away = []) {
  const { key = '', names = [], ...values } = summary(to, (user) => away.includes(user)) ?? {};
  return key && say(key, { ...values, names: names.join(' and ') }).replace(/[\u2068\u2069]/g, '');
}

test('a message is sent, delivered and seen, by each reader alone', () => {
  const [message] = sent([1]);
  if (!message) throw new Error('no message');
  assert.equal(said(message), 'Sending…');
  assert.equal(said(message, ['ann', 'ben', 'cid']), 'Waits for ANN and BEN and CID');
  assert.deepEqual(delivered([message], 'ann', 1), [message]);
  assert.equal(said(message), 'Delivered to 1 of 3');
  delivered([message], 'ben', 1);
  assert.equal(said(message), 'Delivered to 2 of 3');
  assert.equal(said(message, ['cid']), 'Waits for CID');
  assert.equal(isSettled(message.to), false);
  delivered([message], 'cid', 1);
  assert.equal(said(message), 'Delivered');
  assert.equal(isSettled(message.to), true);
  seen([message], 'cid', 1);
  assert.equal(said(message), 'Seen by 1 of 3');
  for (const user of ['ann', 'ben']) seen([message], user, 1);
  assert.equal(said(message), 'Seen by all');
  const [alone] = sent([1], ['ben']);
  if (!alone) throw new Error('no message');
  seen([alone], 'ben', 1);
  assert.equal(said(alone), 'Seen');
  assert.equal(summary([], () => false), undefined);
});

test('what was seen was seen with all before it, and nothing else', () => {
  const messages = sent([1, 2, 3], ['ann', 'ben']);
  for (const at of [1, 2, 3]) delivered(messages, 'ann', at);
  assert.deepEqual(seen(messages, 'ann', 2), messages.slice(0, 2));
  assert.deepEqual(fates(messages), ['seen,sent', 'seen,sent', 'delivered,sent']);
  assert.deepEqual(seen(messages, 'ann', 2), [], 'what is known already');
  for (const at of [0, 1.5, 99, Infinity, NaN]) assert.deepEqual(seen(messages, 'ben', at), [], `${at}, which is no message`);
  assert.deepEqual(seen(messages, 'eve', 2), [], 'what somebody says who got nothing');
  assert.deepEqual(delivered(messages, 'eve', 2), []);
  assert.deepEqual(fates(messages), ['seen,sent', 'seen,sent', 'delivered,sent']);
});

test('what does not arrive has failed, until it is sent again and arrives', () => {
  const messages = sent([1, 2], ['ann', 'ben']);
  delivered(messages, 'ann', 1);
  delivered(messages, 'ben', 1);
  assert.deepEqual(['ann', 'ben', 'cid', 'eve'].map((user) => waitingFor(messages, user)), [1, 1, 0, 0]);
  assert.deepEqual(failed(messages, 'ben'), messages.slice(1), 'what he has is his');
  const [first, second] = messages;
  if (!first || !second) throw new Error('no message');
  assert.equal(said(second), 'Not delivered to BEN.');
  const ben = second.to[1];
  if (ben) Object.assign(ben, { fate: 'sent', at: 5 });
  assert.deepEqual(delivered(messages, 'ben', 5), [second]);
  assert.deepEqual(fates(messages), ['delivered,delivered', 'sent,delivered']);
});

test('receipts are read with care', () => {
  assert.deepEqual(seenIn(seenData(1_800_000_000_123)), 1_800_000_000_123);
  for (const data of [undefined, null, 7, 'x', [], {}, { at: 7 }, { at: null }, { at: 'never' }, { at: { at: 1 } }, { at: `2026-01-31T12:00:00Z${' '.repeat(100)}` }]) {
    assert.equal(seenIn(data), undefined, JSON.stringify(data));
  }
});

test('days have the names that people give them', () => {
  const now = new Date(2026, 10, 30, 0, 5);
  assert.equal(dayWords(new Date(2026, 10, 30, 0, 0), now), 'Today');
  assert.equal(dayWords(new Date(2026, 10, 29, 23, 59), now), 'Yesterday');
  assert.equal(dayWords(new Date(2026, 10, 29, 0, 0), now), 'Yesterday');
  const before = dayWords(new Date(2026, 10, 28, 23, 59), now);
  assert.match(before, /Saturday/);
  assert.match(before, /November/);
  assert.doesNotMatch(before, /2026/);
  assert.match(dayWords(new Date(2025, 11, 31), now), /2025/);
  // Days on which clocks are turned have 23 or 25 hours, wherever this runs.
  for (let day = 0; day < 400; day++) assert.equal(dayWords(new Date(2026, 0, day, 12), new Date(2026, 0, day + 1, 0, 1)), 'Yesterday');
  assert.equal(isSameMinute(new Date(2026, 0, 1, 12, 0, 0), new Date(2026, 0, 1, 12, 0, 59)), true);
  assert.equal(isSameMinute(new Date(2026, 0, 1, 12, 0, 59), new Date(2026, 0, 1, 12, 1, 0)), false);
});

test('up to three emoji are nothing but emoji', () => {
  for (const text of ['\u{1f44d}', '\u2764\ufe0f', '\u{1f44d}\u{1f3fd}', '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}', '\u{1f1e8}\u{1f1ed}', '\u{1f389}\u{1f389}\u{1f389}', '\u{1f389} \u{1f44d}']) {
    assert.equal(isEmoji(text), true, text);
  }
  for (const text of ['', ' ', '1', '12', '#', 'a', '\u{1f44d}a', 'ok \u{1f44d}', '\u{1f389}'.repeat(4), '\u{1f3fd}', '\u200d', '\u{1f468}\u200d'.repeat(5000)]) {
    assert.equal(isEmoji(text), false, text.slice(0, 20));
  }
});
