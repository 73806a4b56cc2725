// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeSocket, settle, welcome } from './fakes.js';
import { joined, newClient, signedIn, timers } from './signedin.js';
import { insideOf } from '../static/sdk/client.js';

test('signs in with a ticket, at the server of its url', async () => {
  const client = newClient({ name: 'Ada' });
  const opened = client.open();
  const socket = await FakeSocket.opened();
  assert.equal(socket.url, 'wss://turn.example.org/signal');
  assert.equal(socket.protocol, 'turnpike.v1');
  assert.deepEqual({ ...socket.sent[0], id: '' }, { type: 'hello', ticket: 'a ticket', name: 'Ada', id: '' });
  assert.equal(client.status, 'connecting');
  await socket.answer('hello', welcome({ online: [{ user: 'u2', name: 'Bob' }] }));
  await opened;
  assert.equal(client.status, 'online');
  assert.equal(client.session, 's1');
  assert.deepEqual([...client.online.keys()], ['u2']);
});


test('answers find their requests in any order, and errors carry the fields of the server', async () => {
  const { client, socket } = await signedIn();
  const first = client.join('one');
  const second = client.join('TWO', { create: true, size: 3 });
  await settle();
  const [one, two] = [socket.expect('join'), socket.expect('join')];
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

test('a request without a connection waits for the next one', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  const sent = client.join('sent');
  await settle();
  const { id } = socket.expect('join');
  socket.ended(1006, '');
  await settle();
  const queued = client.join('queued');
  timers.tick(500);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  next.expect('ack');
  assert.deepEqual(next.sent.map(({ type, room }) => [type, room]), [['join', 'sent'], ['join', 'queued']]);
  assert.equal(next.sent[0].id, id);
  await next.answer('join', { ...joined, room: 'sent' });
  await next.answer('join', { ...joined, room: 'queued' });
  assert.equal((await sent).id, 'sent');
  assert.equal((await queued).id, 'queued');
});

test('a request that the server has handled is not sent again, and its answer is replayed', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  const asked = client.join('standup');
  insideOf(client).send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  insideOf(client).send({ type: 'signal', room: 'x', to: 'z', candidates: [null] });
  await settle();
  const [{ id }, handled, lost] = [socket.expect('join'), socket.expect('signal'), socket.expect('signal')];
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  const hello = next.sent[0];
  assert.deepEqual(hello.resume, { session: 's1', token: 'token', received: 0 });
  assert.equal(hello.ticket, undefined);
  await next.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed', handled: handled.id, after: 0 }));
  assert.deepEqual(next.expect('ack'), { type: 'ack', received: 0 });
  assert.deepEqual(next.expect('signal'), lost);
  assert.deepEqual(next.sent, []);
  await next.say({ ...joined, ref: id, seq: 1 });
  assert.equal((await asked).id, 'standup');
});

test('the client acknowledges messages: with a request, or every 32 messages', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  for (let seq = 1; seq <= 31; seq++) await socket.say({ type: 'online', users: [], seq });
  assert.deepEqual(socket.sent, []);
  await socket.say({ type: 'online', users: [], seq: 32 });
  assert.deepEqual(socket.expect('ack'), { type: 'ack', received: 32 });
  await socket.say({ type: 'online', users: [{ user: 'u9', name: 'Eve' }], seq: 33 });
  await socket.say({ type: 'offline', users: [{ user: 'u9', name: 'Eve' }], seq: 33 }); // A repetition.
  assert.equal(client.online.size, 1);
  insideOf(client).send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  assert.equal(socket.expect('signal').received, 33);
  await socket.say({ type: 'online', users: [], seq: 35 });
  assert.equal(socket.readyState, 3, 'after a gap the client reconnects, and gets the lost messages');
});

test('a room that we join after its signal aborted is left', async () => {
  const { client, socket } = await signedIn();
  const abort = new AbortController();
  const aborted = assert.rejects(client.join('standup', { signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  abort.abort('enough');
  await aborted;
  await socket.answer('join', joined);
  assert.ok(socket.sent.some(({ type }) => type === 'leave')); // Perhaps after an offer to Bob.
  assert.equal(client.rooms.size, 0);
});

test('the number of requests that wait has a bound', async () => {
  const { client } = await signedIn();
  const requests = Array.from({ length: 300 }, () => client.join('x').catch((error) => error.code));
  await settle();
  assert.equal(await requests.at(-1), 'rate-limited');
});

test('a connection that accepts nothing more is given up', async () => {
  const { client, socket } = await signedIn();
  socket.bufferedAmount = 2 << 20;
  insideOf(client).send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  await settle();
  assert.equal(client.status, 'reconnecting');
});

test('a name that is taken: the client tries another one on the same connection, or gives up', async () => {
  /** @type {string[]} */
  const asked = [];
  const client = newClient({
    name: 'Ada',
    getTicket: async ({ name, fresh }) => (asked.push(`${name} ${fresh}`), `ticket.for.${name?.replace(' ', '-')}`),
    onNameTaken: (name) => (name === 'Ada 3' ? undefined : name === 'Ada' ? 'Ada 2' : 'Ada 3'),
  });
  const refused = assert.rejects(client.open(), { code: 'name-taken' });
  const socket = await FakeSocket.opened();
  await socket.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  assert.equal(socket.sent[0].ticket, 'ticket.for.Ada'); // Its invite may give no other.
  assert.equal(socket.sent[0].name, 'Ada 2');
  await socket.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  assert.equal(socket.sent[0].ticket, 'ticket.for.Ada-3');
  assert.equal(socket.sent[0].name, 'Ada 3');
  await socket.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  await refused;
  assert.deepEqual(asked, ['Ada false', 'Ada 3 true']);
  assert.equal(client.status, 'closed');
  assert.equal(FakeSocket.made.length, 1);
});

test('a ticket that is refused is replaced once by a fresh one', async () => {
  const client = newClient({ getTicket: async ({ fresh }) => (fresh ? 'a.fresh.one' : 'a.stale.one') });
  const refused = assert.rejects(client.open(), { code: 'unauthorized' });
  let socket = await FakeSocket.opened();
  assert.equal(socket.sent[0].ticket, 'a.stale.one');
  await socket.answer('hello', { type: 'error', code: 'unauthorized', message: '' });
  socket = await FakeSocket.opened();
  assert.equal(socket.sent[0].ticket, 'a.fresh.one');
  await socket.answer('hello', { type: 'error', code: 'unauthorized', message: '' });
  await refused;
});

test('a server that cannot be reached does not cost the ticket', async () => {
  /** @type {boolean[]} */
  const fresh = [];
  const getTicket = async (/** @type {{ fresh: boolean }} */ request) => {
    fresh.push(request.fresh);
    return 'a.good.ticket';
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

test('the client obeys going-away', async () => {
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

test('close says farewell, and is the end', async () => {
  const { client, socket } = await signedIn();
  const closing = client.close();
  socket.expect('bye');
  socket.ended(1000, 'bye');
  await closing;
  timers.tick(60_000);
  await settle();
  assert.equal(client.status, 'closed');
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
  socket.expect('signal');
  const leaving = room.leave();
  await settle();
  await socket.answer('leave', { type: 'left', room: 'standup', reason: 'leave' });
  await leaving;
  assert.equal(peer?.state, 'closed');
  assert.equal(client.rooms.size, 0);
});

test('the client survives nonsense from the server', async () => {
  const { client, socket } = await signedIn();
  for (const data of ['', '[]', 'null', '{}', '{"type":1}', '{"type":"tomorrow"}', '{"type":"signal","room":"x"}']) {
    socket.dispatchEvent(Object.assign(new Event('message'), { data }));
  }
  assert.equal(client.status, 'online');
});

test('a long list of who is online comes in pages', async () => {
  const ann = { user: 'u2', name: 'Ann' };
  const bob = { user: 'u3', name: 'Bob' };
  const { client, socket } = await signedIn({}, { online: [ann], onlineMore: true });
  assert.equal(client.hasMoreOnline, true);
  const listed = client.listMore();
  await settle();
  const { id, after } = socket.expect('online');
  assert.deepEqual(after, ann);
  await socket.say({ type: 'online', ref: id, users: [bob] });
  await listed;
  assert.deepEqual([...client.online.values()], [ann, bob]);
  assert.equal(client.hasMoreOnline, false);
  await client.listMore();
  assert.throws(() => socket.expect('online'));
});
