// @ts-check
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeStorage, FakeTimers, settle, welcome } from './fakes.js';
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

/**
 * @param {Partial<import('../static/sdk/client.js').ClientOptions>} [options]
 * @param {Partial<import('../static/sdk/messages.js').Welcome>} [changes]
 */
async function signedIn(options, changes) {
  const client = newClient(options);
  const opened = client.open();
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome(changes));
  await opened;
  return { client, socket };
}

const bob = { session: 's2', user: 'u2', name: 'Bob' };
const joined = { type: 'joined', room: 'standup', size: 4, peers: [bob] };

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

test('a request ends with its signal, its time limit, or the client', async () => {
  const { client } = await signedIn();
  const abort = new AbortController();
  const aborted = assert.rejects(client.join('a', { signal: abort.signal }), (reason) => reason === 'enough');
  abort.abort('enough');
  await aborted;
  const late = assert.rejects(client.join('b'), { code: 'timeout' });
  await settle();
  timers.tick(15_000);
  await late;
  const open = assert.rejects(client.join('c'), { code: 'closed' });
  client.close();
  await open;
  await assert.rejects(client.join('d'), { code: 'closed' });
});

test('what is asked for without a connection waits for the next', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  const sent = client.join('sent');
  await settle();
  const { id } = socket.take('join');
  socket.ended(1006, '');
  await settle();
  const queued = client.join('queued');
  timers.tick(500);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  next.take('ack');
  assert.deepEqual(next.sent.map(({ type, room }) => [type, room]), [['join', 'sent'], ['join', 'queued']]);
  assert.equal(next.sent[0].id, id);
  await next.answer('join', { ...joined, room: 'sent' });
  await next.answer('join', { ...joined, room: 'queued' });
  assert.equal((await sent).id, 'sent');
  assert.equal((await queued).id, 'queued');
});

test('what the server has handled is not sent again, and its answer comes by the replay', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  const asked = client.join('standup');
  client.send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  client.send({ type: 'signal', room: 'x', to: 'z', candidates: [null] });
  await settle();
  const [{ id }, handled, lost] = [socket.take('join'), socket.take('signal'), socket.take('signal')];
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  const hello = next.sent[0];
  assert.deepEqual(hello.resume, { session: 's1', token: 'token', received: 0 });
  assert.equal(hello.ticket, undefined);
  await next.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed', handled: handled.id, after: 0 }));
  assert.deepEqual(next.take('ack'), { type: 'ack', received: 0 });
  assert.deepEqual(next.take('signal'), lost);
  assert.deepEqual(next.sent, []);
  await next.say({ ...joined, ref: id, seq: 1 });
  assert.equal((await asked).id, 'standup');
});

test('the server is told what was read: with a request, or every 32 messages', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  for (let seq = 1; seq <= 31; seq++) await socket.say({ type: 'online', users: [], seq });
  assert.deepEqual(socket.sent, []);
  await socket.say({ type: 'online', users: [], seq: 32 });
  assert.deepEqual(socket.take('ack'), { type: 'ack', received: 32 });
  await socket.say({ type: 'online', users: [{ user: 'u9', name: 'Eve' }], seq: 33 });
  await socket.say({ type: 'offline', users: [{ user: 'u9', name: 'Eve' }], seq: 33 }); // a number that was had already
  assert.equal(client.online.size, 1);
  client.send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  assert.equal(socket.take('signal').received, 33);
  await socket.say({ type: 'online', users: [], seq: 35 });
  assert.equal(socket.readyState, 3, 'a gap is a reason to come back, and to be told what was left out');
});

test('a connection that answers no probe is left, and the session comes back at once', async () => {
  const events = new EventTarget();
  const { client, socket } = await signedIn({ events }, { resume: 'token' });
  /** @type {string[]} */
  const told = [];
  for (const name of /** @type {const} */ (['reconnecting', 'resumed', 'lost'])) {
    client.on(name, ({ detail }) => told.push(detail ? `${name} ${detail.how}` : name));
  }
  events.dispatchEvent(new Event('online'));
  const { id } = socket.take('ping');
  await socket.say({ type: 'pong', ref: id });
  timers.tick(2000);
  assert.equal(client.state, 'online');
  events.dispatchEvent(new Event('visibilitychange'));
  socket.take('ping');
  timers.tick(2000);
  const next = await FakeSocket.opened(); // with no pause
  assert.notEqual(next, socket);
  await next.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  assert.deepEqual(told, ['reconnecting', 'resumed replayed']);
});

test('silence of a peer raises a doubt: if the server is silent too, the session comes back, and the peer is connected anew', async () => {
  const { client, socket } = await signedIn({}, { session: 's1', resume: 'token' });
  await socket.say({ ...joined, peers: [] });
  await socket.say({ type: 'peer-joined', room: joined.room, peer: bob });
  const peer = client.rooms.get(joined.room)?.peers.get(bob.session);
  const pc = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  await peer?.receive({ description: { type: 'offer', sdp: 'offer', id: 'his.1' } });
  pc.connect();
  const halfSeconds = async (/** @type {number} */ count, heard = 0) => {
    for (let n = 0; n < count; n++) {
      pc.received += heard;
      timers.tick(500);
      await settle();
    }
  };
  await halfSeconds(4, 1000);
  await halfSeconds(1);
  assert.ok(!socket.sent.some(({ type }) => type === 'ping'));
  await halfSeconds(1);
  socket.sent = socket.sent.filter(({ type }) => type === 'ping');
  socket.take('ping');
  await halfSeconds(2);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's1', resume: 'token 2', resumed: 'replayed' }));
  await settle();
  assert.notEqual(FakePeerConnection.made.at(-1), pc);
  assert.equal(next.sent.filter(({ type }) => type === 'signal').at(-1)?.description.type, 'offer');
});

test('a peer that only is silent, while the server answers, is left alone at first', async () => {
  const { client, socket } = await signedIn({}, { session: 's1', resume: 'token' });
  await socket.say(joined);
  const pc = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  pc.connect();
  const made = FakePeerConnection.made.length;
  for (let n = 0; n < 10; n++) {
    if (n < 4) pc.received += 1000;
    timers.tick(500);
    await settle();
    const ping = socket.sent.find(({ type }) => type === 'ping');
    if (!ping) continue;
    socket.sent.length = 0;
    await socket.say({ type: 'pong', ref: ping.id });
  }
  assert.equal(client.state, 'online');
  assert.deepEqual([FakePeerConnection.made.length, pc.restarts], [made, 0]);
});

test('the network is back: a pause ends', async () => {
  const events = new EventTarget();
  const { socket } = await signedIn({ events }, { resume: 'token' });
  socket.ended(1006, '');
  await settle();
  assert.equal(FakeSocket.made.length, 1);
  events.dispatchEvent(new Event('online'));
  await settle();
  assert.equal(FakeSocket.made.length, 2);
});

test('what is sent and brings nothing back raises a doubt', async () => {
  const { client, socket } = await signedIn();
  client.send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  socket.take('signal');
  timers.tick(4000);
  socket.take('ping');
});

test('a session that is over is not resumed: a ticket begins another one, in the same rooms', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  let lost = 0;
  client.on('lost', () => lost++);
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', joined);
  const room = await joining;
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  await next.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  assert.equal(next.sent[0].ticket, 'a ticket');
  await next.answer('hello', welcome({ session: 's3', resume: 'another' }));
  assert.equal(lost, 1);
  await next.answer('join', joined);
  assert.equal(client.rooms.get('standup'), room);
});

test('a session that was ended for a reason that stands is not begun again', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  socket.ended(4007, 'ended');
  await settle();
  assert.equal(client.state, 'closed');
});

test('another page that took the session over keeps it', async () => {
  const { socket } = await signedIn({}, { resume: 'token' });
  socket.ended(4006, 'replaced');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  assert.equal(next.sent[0].resume, undefined);
});

test('a page that is loaded again goes on with the session, the rooms and what was said; a copy of its tab does not', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const { client, socket } = await signedIn({ storage, events }, { resume: 'token' });
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', { ...joined, seq: 1 });
  (await joining).sendMessage('before');
  assert.equal(storage.size, 0, 'what a copy of the tab would copy');
  events.dispatchEvent(new Event('pagehide'));
  assert.equal(storage.size, 1);

  const next = newClient({ storage });
  const opened = next.open();
  const second = await FakeSocket.opened();
  assert.deepEqual(second.sent[0].resume, { session: 's1', token: 'token', received: 1, fresh: true });
  assert.equal(storage.size, 0);
  const rooms = [{ room: 'standup', size: 4, peers: [{ session: 's2', user: 'u2', name: 'Bob', away: true }] }];
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed', after: 4, rooms }));
  await opened;
  const peer = next.rooms.get('standup')?.peers.get('s2');
  assert.equal(peer?.away, true);
  assert.equal(peer?.chat.kept.waiting[0]?.text, 'before');
  await settle();
  assert.equal(second.sent.find(({ type }) => type === 'signal')?.description.type, 'offer', 'as a newcomer does');
  assert.ok(Number(second.sent.at(-1).id) > 1, 'ids go on');
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
  client.send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
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

test('a server that cannot be reached is no reason for another ticket', async () => {
  /** @type {boolean[]} */
  const fresh = [];
  const getTicket = async (/** @type {{ fresh: boolean }} */ request) => {
    fresh.push(request.fresh);
    return 'a ticket';
  };
  const { socket } = await signedIn({ getTicket });
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  next.ended(1006, '');
  await settle();
  timers.tick(5000);
  await (await FakeSocket.opened()).answer('hello', welcome({ session: 's2' }));
  assert.deepEqual([...new Set(fresh)], [false]);
});

test('no session can be resumed: back as a new one, in the same rooms, to the same peers by new connections', async () => {
  const { client, socket } = await signedIn();
  /** @type {string[]} */
  const states = [];
  client.on('state', ({ detail }) => states.push(detail));
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', joined);
  const room = await joining;
  const peer = room.peers.get('s2');
  const before = /** @type {any} */ (peer?.connection);
  before.connect();
  socket.ended(1006, '');
  await settle();
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
  assert.equal(room.peers.get('s2'), peer);
  assert.equal(peer?.connection, before, 'until the next one works');
  /** @type {any} */ (FakePeerConnection.made.at(-1)).connect();
  assert.notEqual(peer?.connection, before);
  assert.equal(before.connectionState, 'closed');
  assert.deepEqual(states, ['offline', 'connecting', 'online']);
});

test('whoever comes back as another user begins anew with everybody', async () => {
  const { client, socket } = await signedIn();
  await socket.say(joined);
  const room = client.rooms.get('standup');
  const before = /** @type {any} */ (room?.peers.get('s2')?.connection);
  before.connect();
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's3', user: 'u9' }));
  assert.equal(before.connectionState, 'closed');
  await next.answer('join', joined);
  assert.notEqual(room?.peers.get('s2')?.connection, before);
});

test('peers outlive their sessions for as long as they can be reached, and take their place again', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', { ...joined, peers: [...joined.peers, { session: 's5', user: 'u5', name: 'Cid' }] });
  const room = await joining;
  /** @type {string[]} */
  const told = [];
  for (const name of /** @type {const} */ (['peer-joined', 'peer-left', 'peer-away', 'peer-back'])) {
    room.on(name, ({ detail }) => told.push(`${name} ${detail.peer.name}`));
  }
  const bob = room.peers.get('s2');
  /** @type {any} */ (bob?.connection).connect();
  await socket.say({ type: 'peer-away', room: 'standup', session: 's2' });
  await socket.say({ type: 'peer-left', room: 'standup', session: 's2', reason: 'gone' });
  await socket.say({ type: 'peer-left', room: 'standup', session: 's5', reason: 'gone' });
  assert.deepEqual(told.splice(0), ['peer-away Bob', 'peer-left Cid']);
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { session: 's6', user: 'u2', name: 'Bob' } });
  assert.deepEqual(told.splice(0), ['peer-back Bob']);
  assert.equal(room.peers.get('s6'), bob);
  await socket.say({ type: 'peer-left', room: 'standup', session: 's6', reason: 'gone' });
  const { connection } = /** @type {any} */ (bob);
  connection.connectionState = 'disconnected';
  connection.dispatchEvent(new Event('connectionstatechange'));
  assert.deepEqual(told.splice(0), ['peer-away Bob', 'peer-left Bob']);
  assert.equal(connection.connectionState, 'closed');
});

test('a server that was started again: rooms and peers stay, others are waited for, what was under way is done anew', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token', resumeWindow: 30 });
  const joining = client.join('standup');
  await settle();
  const eve = { session: 's8', user: 'u8', name: 'Eve' };
  await socket.answer('join', { ...joined, peers: [...joined.peers, eve] });
  const room = await joining;
  const [bob, late] = [room.peers.get('s2'), room.peers.get('s8')];
  /** @type {any} */ (bob?.connection).connect();
  /** @type {string[]} */
  const gone = [];
  room.on('peer-left', ({ detail }) => gone.push(detail.peer.name));
  await settle();
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  const { peers } = joined;
  await next.answer('hello', welcome({ resume: 'x', resumed: 'restored', resumeWindow: 30, rooms: [{ room: 'standup', size: 4, peers }] }));
  await settle();
  const offers = next.sent.filter(({ type }) => type === 'signal');
  assert.deepEqual(offers.map(({ to }) => to), ['s2'], 'our offer had no answer yet; who is not back yet gets none');
  assert.equal(late?.away, true);
  await next.say({ type: 'peer-joined', room: 'standup', peer: eve, seq: 1 });
  await settle();
  assert.equal(room.peers.get('s8'), late);
  assert.equal(late?.away, false);
  assert.equal(next.sent.filter(({ to }) => to === 's8').length, 1);
  timers.tick(30_000);
  assert.deepEqual(gone, []);
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
  await settle();
  socket.take('signal');
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
