// @ts-check
// A session survives lost connections, reloads of the page and restarts of the server, or another session replaces it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { inRoom, joined, newClient, next, resumable, signedIn, timers } from './signedin.js';
import { insideOf as insideOfPeer } from '../static/sdk/peer/peer.js';

test('after a session has ended, a ticket begins another one in the same rooms', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  let lost = 0;
  client.on('online', ({ how }) => how === 'anew' && lost++);
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

test('a room that has to be made again has its waiting room again', async () => {
  const { client, socket } = await resumable();
  await inRoom(client, socket, { host: 's1', waiting: true, peers: [], seq: 1 });
  const second = await next(socket);
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  await second.answer('hello', welcome({ session: 's3', resume: 'another' }));
  assert.deepEqual({ ...second.expect('join'), id: '' }, { type: 'join', room: 'standup', create: true, size: 4, waiting: true, id: '' });
});

test('a session that the server has ended for a lasting reason does not begin again', async () => {
  const { client, socket } = await signedIn({}, { resume: 'token' });
  socket.ended(4007, 'ended');
  await settle();
  assert.equal(client.status, 'closed');
});

test('a page that took over the session keeps it', async () => {
  const { socket } = await signedIn({}, { resume: 'token' });
  socket.ended(4006, 'replaced');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  assert.equal(next.sent[0].resume, undefined);
});

test('a reloaded page goes on with the session, its rooms and its chat; a copy of the tab does not', async () => {
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
  assert.equal(peer && insideOfPeer(peer).chat.saved.waiting[0]?.text, 'before');
  await settle();
  assert.equal(second.sent.find(({ type }) => type === 'signal')?.description.type, 'offer', 'as a newcomer does');
  assert.ok(Number(second.sent.at(-1).id) > 1, 'ids go on');
});

test('if sessions cannot be resumed, a new one joins the same rooms, and connects anew to the same peers', async () => {
  const { client, socket } = await signedIn();
  /** @type {string[]} */
  const states = [];
  client.on('reconnecting', () => states.push('reconnecting'));
  client.on('online', ({ how }) => states.push(how));
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
  assert.deepEqual(states, ['reconnecting', 'anew']);
});

test('a client that comes back as another user begins anew with everybody', async () => {
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

test('peers outlive their sessions as long as we can reach them, and take their places again', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', { ...joined, peers: [...joined.peers, { session: 's5', user: 'u5', name: 'Cid' }] });
  const room = await joining;
  /** @type {string[]} */
  const told = [];
  for (const name of /** @type {const} */ (['peer-joined', 'peer-left', 'peer-away', 'peer-back'])) {
    room.on(name, ({ peer }) => told.push(`${name} ${peer.name}`));
  }
  const bob = room.peers.get('s2');
  /** @type {any} */ (bob?.connection).connect();
  await socket.say({ type: 'peer-away', room: 'standup', session: 's2' });
  await socket.say({ type: 'peer-left', room: 'standup', session: 's2', reason: 'gone' });
  await socket.say({ type: 'peer-left', room: 'standup', session: 's5', reason: 'gone' });
  assert.deepEqual(told.splice(0), ['peer-away Bob', 'peer-left Cid']);
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { session: 's6', user: 'u2', name: 'Bob' } });
  assert.deepEqual(told.splice(0), ['peer-back Bob']);
  assert.deepEqual([room.peers.get('s2'), bob?.id, bob?.session], [bob, 's2', 's6'], 'its id stays');
  await socket.say({ type: 'peer-left', room: 'standup', session: 's6', reason: 'gone' });
  const { connection } = /** @type {any} */ (bob);
  connection.connectionState = 'disconnected';
  connection.dispatchEvent(new Event('connectionstatechange'));
  assert.deepEqual(told.splice(0), ['peer-away Bob', 'peer-left Bob']);
  assert.equal(connection.connectionState, 'closed');
});

test('after a restart of the server, rooms and peers stay, missing peers have time to return, and open work is done anew', async () => {
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
  room.on('peer-left', ({ peer }) => gone.push(peer.name));
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

test('a room that we cannot join again is left', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', joined);
  const room = await joining;
  const left = new Promise((resolve) => room.on('left', ({ reason }) => resolve(reason)));
  socket.ended(1001, 'going-away');
  await settle();
  timers.tick(500);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's3' }));
  await next.answer('join', { type: 'error', code: 'forbidden', message: '' });
  assert.equal(await left, 'forbidden');
});
