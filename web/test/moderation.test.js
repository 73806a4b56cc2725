// @ts-check
// Hosts, locks, kicks and waiting rooms in the SDK.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeTimers, settle, welcome } from './fakes.js';
import { Client } from '../static/sdk/turnpike.js';

/** @type {Client} */
let client;
/** @type {FakeSocket} */
let socket;
/** @type {FakeTimers} */
let timers;

beforeEach(async () => {
  timers = new FakeTimers();
  client = new Client({
    url: 'https://turn.example.org',
    ticket: 'a ticket',
    WebSocket: /** @type {any} */ (FakeSocket),
    rtc: { RTCPeerConnection: /** @type {any} */ (FakePeerConnection) },
  });
  const opened = client.open();
  socket = await FakeSocket.opened();
  await socket.answer('hello', welcome());
  await opened;
});

afterEach(() => {
  client.close();
  timers.restore();
  FakeSocket.made = [];
});

const bob = { session: 's2', user: 'u2', name: 'Bob' };
const cat = { session: 's3', user: 'u3', name: 'Cat' };
const joined = { type: 'joined', room: 'standup', size: 4, host: 's1', peers: [bob] };

/** @param {Record<string, unknown>} [changes] */
async function inRoom(changes) {
  await socket.say({ ...joined, ...changes });
  socket.sent = socket.sent.filter(({ type }) => type !== 'signal'); // Offers to Bob do not matter here.
  const room = client.rooms.get('standup');
  if (!room) throw new Error('there is no room');
  /** @type {[string, any][]} */
  const events = [];
  for (const name of /** @type {const} */ (['host', 'locked', 'unlocked', 'knock', 'knock-over', 'left'])) {
    room.on(name, (detail) => events.push([name, detail]));
  }
  return { room, events };
}

test('a session is host, and a role moderates', async () => {
  const { room, events } = await inRoom();
  assert.deepEqual([room.isHost, room.moderates], [true, true]);
  await socket.say({ type: 'host', room: 'standup', session: 's2' });
  assert.deepEqual([room.isHost, room.moderates], [false, false]);
  await socket.say({ type: 'refreshed', name: 'Ada', role: 'moderator' });
  assert.deepEqual([room.isHost, room.moderates], [false, true]);
  await socket.say({ type: 'host', room: 'standup', session: 's2' });
  assert.deepEqual(events, [['host', { host: room.peers.get('s2') }]]);
});

test('nobody moderates the room of a call', async () => {
  await socket.say({ type: 'refreshed', name: 'Ada', role: 'admin' });
  const { room } = await inRoom({ host: undefined });
  assert.deepEqual([room.isHost, room.moderates], [false, false]);
});

test('the requests of a host go to the server, and its refusals come back', async () => {
  const { room, events } = await inRoom();
  const locking = room.lock();
  await settle();
  await socket.answer('lock', { type: 'locked', room: 'standup', by: 's1' });
  await locking;
  assert.equal(room.locked, true);
  const refused = assert.rejects(room.unlock(), { code: 'not-host' });
  await settle();
  await socket.answer('unlock', { type: 'error', code: 'not-host', message: 'No.' });
  await refused;
  assert.equal(room.locked, true);
  for (const [ask, answer] of /** @type {const} */ ([['kick', 'kicked'], ['admit', 'admitted'], ['refuse', 'refused']])) {
    const asked = room[ask]({ session: 's2' });
    await settle();
    assert.deepEqual({ ...socket.sent[0], id: '' }, { type: ask, room: 'standup', session: 's2', id: '' });
    await socket.answer(ask, { type: answer, room: 'standup', session: 's2' });
    await asked;
  }
  assert.deepEqual(events, [['locked', { by: 'me' }]]);
});

test('a request can be given up, and with a signal that has aborted it is never sent', async () => {
  const { room } = await inRoom();
  const abort = new AbortController();
  const given = assert.rejects(room.lock({ signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  socket.expect('lock');
  abort.abort('enough');
  await given;
  for (const ask of /** @type {const} */ (['kick', 'admit', 'refuse'])) await assert.rejects(room[ask]({ session: 's2' }, { signal: abort.signal }));
  await assert.rejects(client.refresh('a ticket', { signal: abort.signal }));
  assert.deepEqual(socket.sent, []);
});

test('people who knock are known until their wait ends, however it ends', async () => {
  const { room, events } = await inRoom({ knocks: [bob] });
  await socket.say({ type: 'knock', room: 'standup', peer: cat });
  await socket.say({ type: 'knock', room: 'standup', peer: cat });
  assert.deepEqual([...room.knocks.values()], [bob, cat]);
  await socket.say({ type: 'admitted', room: 'standup', session: 's2' });
  await socket.say({ type: 'refused', room: 'standup', session: 's3' });
  await socket.say({ type: 'knock-over', room: 'standup', session: 's3' });
  assert.equal(room.knocks.size, 0);
  assert.deepEqual(events, [
    ['knock', { peer: cat }],
    ['knock-over', { peer: bob, outcome: 'admitted' }],
    ['knock-over', { peer: cat, outcome: 'refused' }],
  ]);
  await socket.say({ type: 'knock', room: 'standup', peer: bob });
  await socket.say({ ...joined, knocks: [cat] }); // After we were away.
  assert.deepEqual([...room.knocks.values()], [cat]);
});

test('after a kick we have left the room, and know why', async () => {
  const { room, events } = await inRoom();
  await socket.say({ type: 'left', room: 'standup', reason: 'kicked' });
  assert.deepEqual(events, [['left', { reason: 'kicked' }]]);
  assert.equal(room.isLeft, true);
  assert.equal(client.rooms.size, 0);
});

test('creating a room with a waiting room', async () => {
  const joining = client.join(undefined, { create: true, waitingRoom: true });
  await settle();
  assert.deepEqual({ ...socket.sent[0], id: '' }, { type: 'join', create: true, waiting: true, id: '' });
  await socket.answer('join', { ...joined, waiting: true });
  assert.equal((await joining).hasWaitingRoom, true);
});

/** Joins a room that has a waiting room. @param {AbortSignal} [signal] */
async function waitOutside(signal) {
  /** @type {{ told: number, outcome: Promise<any> }} */
  const wait = { told: 0, outcome: Promise.resolve() };
  wait.outcome = client.join('standup', { onWaiting: () => wait.told++, ...(signal && { signal }) });
  wait.outcome.catch(() => {});
  await settle();
  await socket.answer('join', { type: 'waiting', room: 'standup' });
  assert.equal(wait.told, 1);
  assert.equal(client.rooms.size, 0);
  return wait;
}

test('joining lasts until somebody lets us in', async () => {
  const { outcome } = await waitOutside();
  await socket.say(joined);
  assert.equal((await outcome).id, 'standup');
});

test('joining fails when we are refused or kicked, or the room closes', async () => {
  for (const [reason, code] of [['refused', 'refused'], ['kicked', 'kicked'], ['closed', 'not-existing']]) {
    const { outcome } = await waitOutside();
    await socket.say({ type: 'left', room: 'standup', reason });
    await assert.rejects(outcome, { code });
  }
});

test('a newcomer in the room of others, who are back after a restart, waits and is let in', async () => {
  const joining = client.join('standup', { create: true });
  await settle();
  await socket.answer('join', { ...joined, waiting: false });
  const room = await joining;
  const reasons = /** @type {string[]} */ ([]);
  room.on('left', ({ reason }) => reasons.push(reason));
  await socket.say({ type: 'left', room: 'standup', reason: 'returned' });
  await socket.say({ type: 'waiting', room: 'standup' });
  assert.deepEqual(reasons, ['returned']);
  assert.equal(client.rooms.size, 0);
  socket.sent.length = 0;
  const again = client.join('standup');
  await settle();
  await socket.answer('join', { type: 'waiting', room: 'standup' });
  await socket.say(joined);
  assert.equal((await again).id, 'standup');
});

test('giving up the wait leaves the room', async () => {
  const abort = new AbortController();
  const { outcome } = await waitOutside(abort.signal);
  abort.abort('enough');
  await assert.rejects(outcome, (reason) => reason === 'enough');
  assert.equal(socket.expect('leave').room, 'standup');
  await socket.say({ type: 'left', room: 'standup', reason: 'leave' });
  assert.deepEqual([client.rooms.size, socket.sent.length], [0, 0]);
});

test('a new session waits again for the rooms of the former one', async () => {
  const { outcome } = await waitOutside();
  socket.ended(1006, '');
  await settle();
  timers.tick(60_000);
  socket = await FakeSocket.opened();
  await socket.answer('hello', welcome({ session: 's9' }));
  await settle();
  await socket.answer('join', { type: 'waiting', room: 'standup' });
  await socket.say({ ...joined, host: 's2' });
  assert.equal((await outcome).id, 'standup');
});

test('a client that is closed no longer waits', async () => {
  const { outcome } = await waitOutside();
  client.close();
  await assert.rejects(outcome, { code: 'closed' });
});
