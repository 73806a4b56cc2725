// @ts-check
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeTimers, settle, welcome } from './fakes.js';
import { Client, connect } from '../static/sdk/turnpike.js';

/** @type {Client[]} */
const clients = [];

/** @type {FakeTimers} */
let timers;

beforeEach(() => {
  timers = new FakeTimers();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  timers.restore();
  FakeSocket.made = [];
});

/** @param {Partial<import('../static/sdk/client.js').ClientOptions>} [options] */
function newClient(options) {
  const client = new Client({
    url: 'https://turn.example.org',
    ticket: 'a ticket',
    WebSocket: /** @type {any} */ (FakeSocket),
    RTCPeerConnection: /** @type {any} */ (FakePeerConnection),
    ...options,
  });
  clients.push(client);
  return client;
}

/** @param {Partial<import('../static/sdk/client.js').ClientOptions>} [options] */
async function signedIn(options) {
  const client = newClient(options);
  const opened = client.open();
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome());
  await opened;
  return { client, socket };
}

const joined = { type: 'joined', room: 'standup', size: 4, peers: [{ session: 's2', user: 'u2', name: 'Bob' }] };

test('signs in with a ticket, at the server that it was told', async () => {
  const client = newClient({ name: 'Ada' });
  const opened = client.open();
  const socket = await FakeSocket.opened();
  assert.equal(socket.url, 'wss://turn.example.org/signal');
  assert.equal(socket.protocol, 'turnpike.v1');
  assert.deepEqual({ ...socket.sent[0], id: '' }, { type: 'hello', ticket: 'a ticket', name: 'Ada', id: '' });
  assert.equal(client.state, 'connecting');
  await socket.answer('hello', welcome({ online: [{ user: 'u2', name: 'Bob' }] }));
  await opened;
  assert.equal(client.state, 'online');
  assert.equal(client.session, 's1');
  assert.deepEqual([...client.online.keys()], ['u2']);
});

test('without a url, the server is where the SDK came from', async () => {
  const opening = connect({ ticket: 't', WebSocket: /** @type {any} */ (FakeSocket), signal: AbortSignal.abort('enough') });
  await assert.rejects(opening, (reason) => reason === 'enough');
});

test('answers find their requests in any order, and errors carry what the server said', async () => {
  const { client, socket } = await signedIn();
  const first = client.join('one');
  const second = client.join('TWO', { create: true, size: 3 });
  await settle();
  const [one, two] = [socket.take('join'), socket.take('join')];
  assert.notEqual(one.id, two.id);
  assert.deepEqual({ ...two, id: '' }, { type: 'join', room: 'two', create: true, size: 3, id: '' });
  const refused = assert.rejects(first, { name: 'TurnpikeError', code: 'rate-limited', message: 'later', retryAfter: 6, field: 'room' });
  await socket.say({ ...joined, room: 'two', ref: two.id });
  await socket.say({ type: 'error', ref: one.id, code: 'rate-limited', message: 'later', retryAfter: 6, field: 'room' });
  await refused;
  assert.equal((await second).id, 'two');
  assert.equal((await second).peers.get('s2')?.name, 'Bob');
});

test('a request ends with its signal, its time limit, or the connection', async () => {
  const { client, socket } = await signedIn();
  const abort = new AbortController();
  const aborted = assert.rejects(client.join('a', { signal: abort.signal }), (reason) => reason === 'enough');
  abort.abort('enough');
  await aborted;
  const late = assert.rejects(client.join('b'), { code: 'timeout' });
  await settle();
  timers.tick(15_000);
  await late;
  const lost = assert.rejects(client.join('c'), { code: 'offline' });
  await settle();
  socket.ended(1006, '');
  await lost;
  await assert.rejects(client.join('d'), { code: 'offline' });
  await client.close();
  await assert.rejects(client.join('e'), { code: 'closed' });
});

test('a room that is entered after its signal aborted is left', async () => {
  const { client, socket } = await signedIn();
  const abort = new AbortController();
  const aborted = assert.rejects(client.join('standup', { signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  abort.abort('enough');
  await aborted;
  await socket.answer('join', joined);
  socket.take('leave');
  assert.equal(client.rooms.size, 0);
});

test('no more requests wait than a bound', async () => {
  const { client } = await signedIn();
  const requests = Array.from({ length: 300 }, () => client.join('x').catch((error) => error.code));
  await settle();
  assert.equal(await requests.at(-1), 'rate-limited');
});

test('a connection that takes nothing is given up', async () => {
  const { client, socket } = await signedIn();
  socket.bufferedAmount = 2 << 20;
  client.send({ type: 'leave', room: 'x' });
  await settle();
  assert.equal(client.state, 'offline');
});

test('a taken name: another one is tried on the same connection, or none', async () => {
  /** @type {string[]} */
  const asked = [];
  const client = newClient({
    name: 'Ada',
    getTicket: async ({ name, fresh }) => (asked.push(`${name} ${fresh}`), `ticket for ${name}`),
    onNameTaken: (name) => (name === 'Ada' ? 'Ada 2' : undefined),
  });
  const refused = assert.rejects(client.open(), { code: 'name-taken' });
  const socket = await FakeSocket.opened();
  await socket.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  assert.equal(socket.sent[0].ticket, 'ticket for Ada 2');
  assert.equal(socket.sent[0].name, 'Ada 2');
  await socket.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  await refused;
  assert.deepEqual(asked, ['Ada false', 'Ada 2 true']);
  assert.equal(client.state, 'closed');
  assert.equal(FakeSocket.made.length, 1);
});

test('a refused ticket is replaced once by a fresh one', async () => {
  const client = newClient({ getTicket: async ({ fresh }) => (fresh ? 'fresh' : 'stale') });
  const refused = assert.rejects(client.open(), { code: 'unauthorized' });
  let socket = await FakeSocket.opened();
  assert.equal(socket.sent[0].ticket, 'stale');
  await socket.answer('hello', { type: 'error', code: 'unauthorized', message: '' });
  socket = await FakeSocket.opened();
  assert.equal(socket.sent[0].ticket, 'fresh');
  await socket.answer('hello', { type: 'error', code: 'unauthorized', message: '' });
  await refused;
});

test('a lost connection: back as a new session, in the same rooms, to new peers', async () => {
  const { client, socket } = await signedIn();
  /** @type {string[]} */
  const states = [];
  client.on('state', ({ detail }) => states.push(detail));
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', joined);
  const room = await joining;
  const before = room.peers.get('s2');
  socket.ended(1006, '');
  await settle();
  assert.equal(room.peers.get('s2'), before, 'peers outlive the connection');
  timers.tick(500);
  const next = await FakeSocket.opened();
  assert.notEqual(next, socket);
  await next.answer('hello', welcome({ session: 's3' }));
  assert.deepEqual({ ...next.sent[0], id: '' }, { type: 'join', room: 'standup', create: true, size: 4, id: '' });
  await next.answer('join', { type: 'error', code: 'full', message: '' });
  timers.tick(5000);
  await settle();
  await next.answer('join', joined);
  assert.equal(client.rooms.get('standup'), room);
  assert.notEqual(room.peers.get('s2'), before);
  assert.equal(before?.state, 'closed');
  assert.deepEqual(states, ['offline', 'connecting', 'online']);
});

test('a room that cannot be entered again is left', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', joined);
  const room = await joining;
  const left = new Promise((resolve) => room.on('left', ({ detail }) => resolve(detail.reason)));
  socket.ended(1001, 'going-away');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's3' }));
  await next.answer('join', { type: 'error', code: 'forbidden', message: '' });
  assert.equal(await left, 'forbidden');
});

test('going-away is heeded', async () => {
  const { client, socket } = await signedIn();
  await socket.say({ type: 'going-away', retryAfter: 7 });
  socket.ended(1001, 'going-away');
  await settle();
  timers.tick(7000);
  await settle();
  assert.equal(FakeSocket.made.length, 1);
  timers.tick(500);
  await settle();
  assert.equal(FakeSocket.made.length, 2);
  await client.close();
});

test('close says farewell, and nothing comes after', async () => {
  const { client, socket } = await signedIn();
  const closing = client.close();
  socket.take('bye');
  socket.ended(1000, 'bye');
  await closing;
  timers.tick(60_000);
  await settle();
  assert.equal(client.state, 'closed');
  assert.equal(FakeSocket.made.length, 1);
});

test('leaving a room closes its peers', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', joined);
  const room = await joining;
  const peer = room.peers.get('s2');
  const leaving = room.leave();
  await settle();
  await socket.answer('leave', { type: 'left', room: 'standup', reason: 'leave' });
  await leaving;
  assert.equal(peer?.state, 'closed');
  assert.equal(client.rooms.size, 0);
});

test('an outgoing call: rings, is accepted, leads to a room, is hung up by the other', async () => {
  const { client, socket } = await signedIn();
  const calling = client.call('u2');
  await settle();
  await socket.answer('call', { type: 'ringing', call: 'c1', to: { user: 'u2', name: 'Bob' } });
  const call = await calling;
  /** @type {string[]} */
  const events = [];
  call.on('accept', ({ detail }) => events.push(`accept ${detail.room.id}`));
  call.on('hangup', ({ detail }) => events.push(`hangup ${detail.reason}`));
  call.on('end', ({ detail }) => events.push(`end ${detail.event}`));
  await socket.say({ type: 'accept', call: 'c1', room: 'k7m' });
  await socket.say({ ...joined, room: 'k7m', size: 2 });
  assert.equal(call.state, 'accepted');
  await socket.say({ type: 'hangup', call: 'c1', room: 'k7m' });
  assert.deepEqual(events, ['accept k7m', 'hangup hangup', 'end hangup']);
  assert.equal(client.calls.size, 0);
  assert.equal(client.rooms.size, 0);
});

test('an incoming call: accepted, it resolves with the room', async () => {
  const { client, socket } = await signedIn();
  /** @type {Promise<import('../static/sdk/turnpike.js').Call>} */
  const ring = new Promise((resolve) => client.on('call', ({ detail }) => resolve(detail)));
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' } });
  const call = await ring;
  assert.equal(call.user.name, 'Bob');
  const accepting = call.accept();
  await settle();
  await socket.answer('accept', { type: 'accept', call: 'c1', room: 'k7m' });
  await socket.say({ ...joined, room: 'k7m', size: 2 });
  assert.equal((await accepting).id, 'k7m');
});

test('a call that ends while it is being accepted', async () => {
  const { client, socket } = await signedIn();
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' } });
  const call = client.calls.get('c1');
  const refused = assert.rejects(Promise.resolve(call?.accept()), { code: 'no-such-call' });
  await settle();
  await socket.answer('accept', { type: 'error', code: 'no-such-call', message: '' });
  await socket.say({ type: 'cancel', call: 'c1', reason: 'cancelled' });
  await refused;
  assert.equal(call?.state, 'ended');
});

test('a call that is aborted before it rings is taken back once it does', async () => {
  const { client, socket } = await signedIn();
  const abort = new AbortController();
  const calling = assert.rejects(client.call('u2', { signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  const { id } = socket.take('call');
  abort.abort('enough');
  await socket.say({ type: 'ringing', ref: id, call: 'c1', to: { user: 'u2', name: 'Bob' } });
  await socket.answer('cancel', { type: 'cancel', call: 'c1', reason: 'cancelled' });
  await calling;
});

test('nonsense from the server is survived', async () => {
  const { client, socket } = await signedIn();
  for (const data of ['', '[]', 'null', '{}', '{"type":1}', '{"type":"tomorrow"}', '{"type":"signal","room":"x"}']) {
    socket.dispatchEvent(Object.assign(new Event('message'), { data }));
  }
  assert.equal(client.state, 'online');
});
