// @ts-check
// The parts of the page that are plain functions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_NAME, madeUpName, nameProblem, nextName } from '../static/names.js';
import { inviteOf, readRoom, roomOf } from '../static/roomlinks.js';
import { backoff } from '../static/sdk/server/backoff.js';

test('numbered names count up and stay short enough', () => {
  assert.equal(nextName('Ada'), 'Ada 2');
  assert.equal(nextName('Ada 2'), 'Ada 3');
  assert.equal(nextName('Ada 99'), 'Ada 100');
  assert.equal(nextName('R2'), 'R2 2');
  const long = nextName('👩'.repeat(MAX_NAME));
  assert.equal([...long].length, MAX_NAME);
  assert.ok(long.endsWith('👩 2'));
});

test('made up names are names', () => {
  for (const value of [0, 0.5, 0.999]) assert.equal(nameProblem(madeUpName(() => value)), '');
});

test('what is wrong with a name', () => {
  assert.equal(nameProblem('Ben Ó Conaill'), '');
  assert.equal(nameProblem('👩'.repeat(MAX_NAME)), '');
  assert.match(nameProblem(''), /write a name/);
  assert.match(nameProblem('x'.repeat(MAX_NAME + 1)), /33/);
  assert.match(nameProblem('a\u0007b'), /control/);
});

test('a room is named by its id or its link', () => {
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

test('addresses are read with care', () => {
  assert.equal(roomOf('/r/K7M'), 'k7m');
  assert.equal(roomOf('/r/%E0%A4%A'), '');
  assert.equal(roomOf('/'), '');
  assert.equal(inviteOf('#invite=a.b-c_d'), 'a.b-c_d');
  assert.equal(inviteOf('#main'), undefined);
  assert.equal(inviteOf(''), undefined);
});

test('pauses grow, with chance in them, up to 15 s', () => {
  assert.equal(backoff(0, () => 0), 250);
  assert.equal(backoff(0, () => 1), 500);
  assert.equal(backoff(3, () => 1), 4000);
  assert.equal(backoff(1000, () => 1), 15_000);
});
