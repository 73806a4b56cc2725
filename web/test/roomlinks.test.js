// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inviteOf, readRoom, roomOf } from '../static/roomlinks.js';

test('a room is found by its id or its link', () => {
  const here = 'https://turn.example.org';
  const standup = { id: 'standup', invite: undefined };
  assert.deepEqual(readRoom(' StandUp ', here), standup);
  assert.deepEqual(readRoom('k7m 2pq x9r', here), { id: 'k7m-2pq-x9r', invite: undefined });
  assert.deepEqual(readRoom(`${here}/r/Standup`, here), standup);
  assert.deepEqual(readRoom(`${here}/r/standup#invite=abc.def`, here), { id: 'standup', invite: 'abc.def' });
  for (const text of ['', '-', 'a_b', 'x'.repeat(65), 'https://elsewhere.example/r/standup', `${here}/r/`, `${here}/r/%zz`]) {
    assert.equal(readRoom(text, here), undefined, text);
  }
});

test('malformed addresses are harmless', () => {
  assert.equal(roomOf('/r/K7M'), 'k7m');
  assert.equal(roomOf('/r/%E0%A4%A'), '');
  assert.equal(roomOf('/'), '');
  assert.equal(inviteOf('#invite=a.b-c_d'), 'a.b-c_d');
  assert.equal(inviteOf('#main'), undefined);
  assert.equal(inviteOf(''), undefined);
});
