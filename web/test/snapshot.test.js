// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from './fakes.js';
import { inRoom, next, resumable, signedIn } from './signedin.js';
import { Emitter, describe, emit } from '../static/sdk/emitter.js';

test('a snapshot stays the same object until something changes, and subscribers learn of each change', () => {
  let count = 0;
  /** @extends {Emitter<{ news: number }, { count: number }>} */
  class Source extends Emitter {}
  const source = new Source();
  describe(source, () => ({ count }));
  /** @type {number[]} */
  const seen = [];
  const { subscribe } = source; // as React calls it
  const end = subscribe(() => seen.push(source.snapshot.count));
  const first = source.snapshot;
  assert.equal(source.snapshot, first);
  assert.ok(Object.isFrozen(first));
  count = 1;
  emit(source, 'news', 1);
  assert.notEqual(source.snapshot, first);
  end();
  count = 2;
  emit(source, 'news', 2);
  assert.deepEqual([seen, first.count, source.snapshot.count], [[1], 0, 2]);
});

test("a client's snapshot follows its status, rooms, calls and who is online", async () => {
  const { client, socket } = await resumable();
  let changes = 0;
  client.subscribe(() => changes++);
  /** Whether there was a change since the last time. */
  const hasChanged = () => {
    const had = changes > 0;
    changes = 0;
    return had;
  };
  const room = await inRoom(client, socket, { seq: 1 });
  assert.deepEqual([client.snapshot.rooms, hasChanged()], [[room], true]);
  await socket.say({ type: 'online', users: [{ user: 'u9', name: 'Eve' }], seq: 2 });
  assert.deepEqual([client.snapshot.online, hasChanged()], [[{ user: 'u9', name: 'Eve' }], true]);
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u9', name: 'Eve' }, seq: 3 });
  const [call] = client.snapshot.calls;
  assert.deepEqual([call?.snapshot.state, hasChanged()], ['ringing', true]);
  await socket.say({ type: 'cancel', call: 'c1', reason: 'timeout', seq: 4 });
  assert.deepEqual([client.snapshot.calls, call?.snapshot.state, hasChanged()], [[], 'ended', true]);
  room.leave();
  assert.deepEqual([client.snapshot.rooms, hasChanged()], [[], true]);
  const before = client.snapshot;
  await next(socket);
  assert.deepEqual([before.status, client.snapshot.status, hasChanged()], ['online', 'reconnecting', true]);
  client.close();
  await settle();
  assert.deepEqual([client.snapshot.status, hasChanged()], ['closed', true]);
});

test('new ICE servers are told', async () => {
  const { client, socket } = await signedIn();
  const told = client.once('ice-servers');
  const iceServers = [{ urls: 'stun:turn.example.org' }];
  await socket.say({ type: 'ice-servers', iceServers, iceExpires: '2026-01-01T01:00:00Z' });
  assert.deepEqual([await told, client.iceServers], [{ iceServers }, iceServers]);
});

test("a room's snapshot follows its peers, its host, its lock and those who knock", async () => {
  const { client, socket } = await resumable();
  const room = await inRoom(client, socket, { host: 's1', seq: 1 });
  let changes = 0;
  room.subscribe(() => changes++);
  /** @param {any} message @param {() => unknown} look @param {unknown} want */
  const after = async (message, look, want) => {
    const before = room.snapshot;
    assert.equal(room.snapshot, before);
    changes = 0;
    await socket.say({ room: 'standup', ...message });
    assert.deepEqual([look(), changes > 0, room.snapshot === before], [want, true, false], message.type);
  };
  const [first] = room.snapshot.peers;
  assert.deepEqual([first?.name, first?.away, first?.peer], ['Bob', false, room.peers.get('s2')]);
  await after({ type: 'peer-away', session: 's2', seq: 2 }, () => room.snapshot.peers[0]?.away, true);
  await after({ type: 'peer-renamed', session: 's2', name: 'Robert', seq: 3 }, () => room.snapshot.peers[0]?.name, 'Robert');
  await after({ type: 'locked', by: 's1', seq: 4 }, () => room.snapshot.locked, true);
  await after({ type: 'knock', peer: { session: 's8', user: 'u8', name: 'Dora' }, seq: 5 }, () => room.snapshot.knocks.length, 1);
  await after({ type: 'host', session: 's2', seq: 6 }, () => room.snapshot.isHost, false);
  await after({ type: 'peer-left', session: 's2', reason: 'leave', seq: 7 }, () => room.snapshot.peers.length, 0);
  await after({ type: 'left', reason: 'kicked', seq: 8 }, () => room.snapshot.isLeft, true);
  assert.equal(first?.name, 'Bob', 'a snapshot never changes');
});

test("a client's snapshot has a role that changes, and knows when everybody is listed", async () => {
  const eve = { user: 'u9', name: 'Eve' };
  const { client, socket } = await resumable({}, { role: 'guest', online: [eve], onlineMore: true });
  const before = client.snapshot;
  await socket.say({ type: 'refreshed', name: 'Ada', role: 'moderator', seq: 1 });
  assert.deepEqual([before.role, client.snapshot.role], ['guest', 'moderator']);
  assert.equal(client.snapshot.hasMoreOnline, true);
  const listing = client.listMore();
  await settle();
  await socket.answer('online', { type: 'online', users: [], seq: 2 });
  await listing;
  assert.equal(client.snapshot.hasMoreOnline, false);
});
