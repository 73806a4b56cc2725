// @ts-check
// Single cases of what can happen between one connection and the next. nothinglost.test.js plays random games instead.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { inRoom, joined, newClient, next, resumable, timers } from './signedin.js';
import { insideOf } from '../static/sdk/client.js';
import { insideOf as insideOfPeer } from '../static/sdk/peer/peer.js';

/** @type {import('../static/sdk/server/messages.js').ClientMessage} */
const told = { type: 'signal', room: 'x', to: 'y', candidates: [null] };

test('the answer to a ping settles no other message', async () => {
  const events = new EventTarget();
  const { client, socket } = await resumable({ events });
  events.dispatchEvent(new Event('online'));
  insideOf(client).send(told);
  const [ping, { id }] = [socket.expect('ping'), socket.expect('signal')];
  await socket.say({ type: 'pong', ref: ping.id });
  const second = await next(socket);
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  second.expect('ack');
  assert.equal(second.expect('signal').id, id);
});

test('the client sends nothing between hello and its answer, however many messages the page before has read', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const { socket } = await resumable({ storage, events });
  for (let seq = 1; seq <= 40; seq++) await socket.say({ type: 'online', users: [], seq });
  events.dispatchEvent(new Event('pagehide'));
  const client = newClient({ storage });
  client.open().catch(() => {}); // It is closed in the end.
  const second = await FakeSocket.opened();
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  assert.deepEqual(second.sent.map(({ type }) => type), ['hello']);
});

test('a session for which too many messages wait is given up, even while it is being resumed', async () => {
  const { client, socket } = await resumable();
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  await settle(); // The next connection is being opened.
  for (let count = 0; count < 300; count++) insideOf(client).send(told);
  await settle();
  timers.tick(15_000);
  const after = await FakeSocket.opened();
  assert.equal(after.sent[0].resume, undefined);
  await after.answer('hello', welcome({ session: 's2', resume: 'token 2' }));
  assert.deepEqual(after.sent, []);
});

test('messages that waited are sent no faster than the server accepts them', async () => {
  const { client, socket } = await resumable();
  socket.ended(1006, '');
  await settle();
  for (let count = 0; count < 250; count++) insideOf(client).send(told);
  timers.tick(500);
  const second = await FakeSocket.opened();
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  assert.ok(second.sent.length < 200);
  timers.tick(6000);
  assert.equal(second.sent.filter(({ type }) => type === 'signal').length, 250);
});

test('a message that the server refuses for its rate is sent again, and any other refusal is an error', async () => {
  const { client, socket } = await resumable();
  /** @type {string[]} */
  const errors = [];
  client.on('error', ({ code }) => errors.push(code));
  insideOf(client).send(told);
  const { id } = socket.expect('signal');
  await socket.say({ type: 'error', ref: id, code: 'rate-limited', message: '', retryAfter: 3, seq: 1 });
  insideOf(client).send({ ...told, room: 'later' });
  assert.deepEqual([socket.sent, errors], [[], []]);
  timers.tick(3000);
  const again = socket.expect('signal');
  assert.notEqual(again.id, id, 'the server may have handled later messages');
  assert.deepEqual([again.room, socket.expect('signal').room], ['x', 'later']);
  await socket.say({ type: 'error', ref: again.id, code: 'not-in-room', message: '', seq: 2 });
  assert.deepEqual(errors, ['not-in-room']);
});

test('a message that is too long for the server is never sent', async () => {
  const { client, socket } = await resumable();
  await assert.rejects(client.join('ü'.repeat(33_000)), { code: 'too-long' });
  assert.throws(() => insideOf(client).send({ ...told, room: 'x'.repeat(66_000) }), { code: 'too-long' });
  assert.deepEqual(socket.sent, []);
});

test('a server that cannot check the ticket now is asked again when it says, with the same ticket', async () => {
  const client = newClient({ getTicket: async ({ fresh }) => (fresh ? 'another.good.ticket' : 'a.good.ticket') });
  const opened = client.open();
  const refusal = { type: 'error', code: 'internal', message: '', retryAfter: 7 };
  let socket = await FakeSocket.opened();
  for (let count = 0; count < 5; count++) {
    await socket.answer('hello', refusal);
    assert.equal(socket.readyState, 3);
    const made = FakeSocket.made.length;
    timers.tick(6999);
    await settle();
    assert.equal(FakeSocket.made.length, made);
    timers.tick(60_000); // the longest pause after that
    socket = await FakeSocket.opened();
  }
  assert.equal(socket.sent[0].ticket, 'a.good.ticket');
  await socket.answer('hello', welcome());
  await opened;
});

test('a session that cannot go on under its name ends, and another begins', async () => {
  const { client, socket } = await resumable({ name: 'Ada', onNameTaken: () => 'Ada 2' });
  const second = await next(socket);
  await second.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  const hello = second.sent[0];
  assert.deepEqual([hello.resume, hello.ticket, hello.name], [undefined, 'a ticket', 'Ada']);
  await second.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  await second.answer('hello', welcome({ session: 's2', name: 'Ada 2' }));
  assert.equal(client.name, 'Ada 2');
});

test('a client comes back in the end, however long the server asks it to stay away', async () => {
  const { socket } = await resumable();
  await socket.say({ type: 'going-away', retryAfter: 1e9, seq: 1 });
  socket.ended(1001, 'going-away');
  await settle();
  timers.tick(1000);
  await settle();
  assert.equal(FakeSocket.made.length, 1, 'a timer of more than 2^31 ms fires at once');
  timers.tick(3_600_000);
  await settle();
  assert.equal(FakeSocket.made.length, 2);
});

test('messages after the farewell open nothing', async () => {
  const { client, socket } = await resumable();
  client.join('standup').catch(() => {});
  await settle();
  const { id } = socket.expect('join');
  client.close();
  const before = FakePeerConnection.made.length;
  await socket.say({ type: 'joined', ref: id, room: 'standup', size: 4, peers: [{ session: 's2', user: 'u2', name: 'Bob' }], seq: 1 });
  assert.equal(client.rooms.size, 0);
  assert.equal(FakePeerConnection.made.length, before);
  socket.ended(1000, 'bye');
  await settle();
  assert.equal(timers.waiting, 0);
});

test('a server that stays away is tried now and then', async () => {
  const { socket } = await resumable();
  socket.ended(1006, '');
  for (let second = 0; second < 3600; second++) {
    await timers.pass(1000);
    FakeSocket.made.at(-1)?.ended(1006, '');
  }
  assert.ok(FakeSocket.made.length > 3600 / 17 && FakeSocket.made.length < 10 + 3600 / 7, `${FakeSocket.made.length} attempts in an hour`);
});

test('a room that we cannot join again at once is tried again', async () => {
  const { client, socket } = await resumable();
  const room = await inRoom(client, socket);
  const second = await next(socket);
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  await second.answer('hello', welcome({ session: 's3', resume: 'another' }));
  await second.answer('join', { type: 'error', code: 'rate-limited', message: '', retryAfter: 8 });
  timers.tick(7900);
  await settle();
  assert.deepEqual([second.sent.length, room.isLeft], [0, false]);
  timers.tick(200);
  await settle();
  await second.answer('join', joined);
  assert.equal(client.rooms.get('standup'), room);
});

test('after we join a room again, peers who do not come back are gone in the end', async () => {
  const { client, socket } = await resumable({}, { resumeWindow: 30 });
  const eve = { session: 's8', user: 'u8', name: 'Eve' };
  const room = await inRoom(client, socket, { peers: [...joined.peers, eve] });
  const second = await next(socket);
  // The server stopped before the token named the room.
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'restored', resumeWindow: 30, rooms: [] }));
  second.sent = second.sent.filter(({ type }) => type === 'join');
  await second.answer('join', joined);
  assert.deepEqual([...room.peers.values()].map(({ away }) => away), [false, true]);
  timers.tick(30_000);
  assert.deepEqual([...room.peers.keys()], ['s2']);
});

test('after we give up waiting, another server does not let us in', async () => {
  const { client, socket } = await resumable();
  const abort = new AbortController();
  const waiting = assert.rejects(client.join('standup', { signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  await socket.answer('join', { type: 'waiting', room: 'standup', seq: 1 });
  socket.ended(1006, '');
  await settle();
  abort.abort('enough');
  await waiting;
  timers.tick(500);
  const second = await FakeSocket.opened();
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'restored' }));
  assert.deepEqual(second.sent.map(({ type }) => type), ['ack', 'leave']);
});

test('a room that we leave before we are back in it never appears', async () => {
  const { client, socket } = await resumable();
  const room = await inRoom(client, socket);
  let rooms = 0;
  client.on('room', () => rooms++);
  const second = await next(socket);
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  await second.answer('hello', welcome({ session: 's3', resume: 'another' }));
  room.leave();
  await settle();
  await second.answer('join', joined);
  assert.equal(rooms, 0);
  await second.answer('leave', { type: 'left', room: 'standup', reason: 'leave' });
  assert.equal(client.rooms.size, 0);
});

test('too much chat for the storage does not cost the session', async () => {
  const storage = new FakeStorage(10_000);
  const events = new EventTarget();
  const { client, socket } = await resumable({ storage, events });
  const room = await inRoom(client, socket);
  for (let count = 0; count < 20; count++) room.sendMessage('x'.repeat(1000));
  events.dispatchEvent(new Event('pagehide'));
  newClient({ storage }).open().catch(() => {});
  const second = await FakeSocket.opened();
  assert.equal(second.sent[0].resume.session, 's1');
});

test('the saved text of another version is ignored', async () => {
  for (const left of ['{"link":{"session":"s1","token":"t","received":0,"lastId":0}}', '[]', 'null', '{', '{"format":2}']) {
    const storage = new FakeStorage();
    storage.setItem('turnpike.session https://turn.example.org', left);
    newClient({ storage }).open().catch(() => {});
    const socket = await FakeSocket.opened();
    assert.equal(socket.sent[0].ticket, 'a ticket');
  }
});

test('a peer that cannot take more chat does not keep it from the others', async () => {
  const { client, socket } = await resumable();
  const room = await inRoom(client, socket);
  for (let count = 0; count < 100; count++) room.sendMessage('to Bob, who is away');
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { session: 's5', user: 'u5', name: 'Cid' }, seq: 1 });
  const [bob, cid] = [...room.peers.values()];
  /** @type {unknown[]} */
  const errors = [];
  bob?.on('error', (error) => errors.push(/** @type {any} */ (error).code));
  room.sendMessage('to both');
  assert.deepEqual([errors, cid && insideOfPeer(cid).chat.saved.waiting.map(({ text }) => text)], [['slow'], ['to both']]);
  await socket.say({ type: 'peer-left', room: 'standup', session: 's5', reason: 'leave', seq: 2 });
  assert.throws(() => room.sendMessage('to nobody'), { code: 'slow' });
});
