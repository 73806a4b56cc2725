// @ts-check
// What happens before an app can listen reaches it all the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { bob, inRoom, joined, newClient, options, signedIn, timers } from './signedin.js';
import { connect } from '../static/sdk/turnpike.js';

/** @import { Client, Room } from '../static/sdk/turnpike.js' */

const cid = { session: 's7', user: 'u7', name: 'Cid' };

/** @param {Room} room @returns {string[]} what its listeners hear from now on */
function heardIn(room) {
  /** @type {string[]} */
  const heard = [];
  for (const name of /** @type {const} */ (['peer-joined', 'peer-left', 'host', 'locked', 'knock'])) {
    room.on(name, (detail) => heard.push(`${name}${'peer' in detail ? ` ${detail.peer.name}` : ''}`));
  }
  return heard;
}

test('a listener that is added once join has resolved hears of those who were there', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  const { id } = socket.expect('join');
  socket.say({ ...joined, ref: id, host: 's2', locked: true });
  socket.say({ type: 'peer-joined', room: 'standup', peer: cid });
  const heard = heardIn(await joining);
  assert.deepEqual(heard, []);
  await settle();
  assert.deepEqual(heard, ['peer-joined Bob', 'peer-joined Cid'], 'in order, and without what the room says itself');
});

test('it hears the events of such a peer, too', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  const { id } = socket.expect('join');
  socket.say({ ...joined, ref: id });
  /** @type {string[]} */
  const heard = [];
  const room = await joining;
  const { connection } = /** @type {any} */ (room.peers.get('s2'));
  connection.connect();
  room.on('peer-joined', ({ peer }) => peer.on('state', (state) => heard.push(`${peer.name} ${state}`)));
  await settle();
  assert.deepEqual(heard, ['Bob connected']);
});

test('rooms of before a reload are told once connect has resolved, with the peers in them', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const before = await signedIn({ storage, events }, { resume: 'token' });
  await inRoom(before.client, before.socket);
  events.dispatchEvent(new Event('pagehide'));

  const connecting = connect(options({ storage }));
  const socket = await FakeSocket.opened();
  const rooms = [{ ...joined, type: undefined }];
  const { id } = socket.expect('hello');
  socket.say({ ...welcome({ resume: 'token 2', resumed: 'replayed', after: 0, rooms: /** @type {any} */ (rooms) }), ref: id });
  /** @type {string[]} */
  const heard = [];
  const client = await connecting;
  client.on('online', ({ how }) => heard.push(`online ${how}`));
  client.on('room', ({ room, how }) => {
    heard.push(`${room.id} by ${how}`);
    room.on('peer-joined', ({ peer }) => heard.push(peer.name));
  });
  await settle();
  assert.deepEqual(heard, ['standup by reload', 'online replayed', 'Bob']);
  client.close();
});

test('setup adds listeners before anything happens', async () => {
  /** @type {string[]} */
  const heard = [];
  const setup = (/** @type {Client} */ client) => void client.on('online', ({ how }) => heard.push(`${how} ${client.status}`));
  const connecting = connect(options({ setup }));
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome());
  assert.deepEqual(heard, ['first online']);
  (await connecting).close();
});

test('a setup that throws is told, and leaves no client behind', async () => {
  /** @type {Client | undefined} */
  let made;
  const setup = (/** @type {Client} */ client) => {
    made = client;
    throw new Error('mine');
  };
  await assert.rejects(connect(options({ setup })), { message: 'mine' });
  assert.equal(made?.status, 'closed');
  assert.equal(FakeSocket.made.length, 0);
});

test('eachPeer meets everybody once: those who are there at once, and those who come; and it says when they are gone', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  const { id } = socket.expect('join');
  socket.say({ ...joined, ref: id });
  const room = await joining;
  /** @type {string[]} */
  const heard = [];
  const end = room.eachPeer((peer, gone) => {
    heard.push(`${peer.name} is there`);
    gone.addEventListener('abort', () => heard.push(`${peer.name} is gone`));
  });
  assert.deepEqual(heard.splice(0), ['Bob is there']);
  await socket.say({ type: 'peer-joined', room: 'standup', peer: cid });
  assert.deepEqual(heard.splice(0), ['Cid is there']);
  await socket.say({ type: 'peer-left', room: 'standup', session: bob.session, reason: 'leave' });
  assert.deepEqual(heard.splice(0), ['Bob is gone']);
  end();
  assert.deepEqual(heard.splice(0), ['Cid is gone']);
  await socket.say({ type: 'peer-joined', room: 'standup', peer: bob });
  assert.deepEqual(heard, []);
});

test('a ring can be answered from a listener that is added once call has resolved', async () => {
  const { client, socket } = await signedIn();
  const calling = client.call('u2');
  await settle();
  const { id } = socket.expect('call');
  socket.say({ type: 'ringing', ref: id, call: 'c1', to: { user: 'u2', name: 'Bob' } });
  const call = await calling;
  socket.say({ type: 'decline', call: 'c1' });
  /** @type {string[]} */
  const ends = [];
  call.on('ended', ({ outcome }) => ends.push(outcome));
  await settle();
  assert.deepEqual(ends, ['declined']);
});

test('presence tells the difference', async () => {
  const [ann, ben] = [{ user: 'ann', name: 'Ann' }, { user: 'ben', name: 'Ben' }];
  const { client, socket } = await signedIn({}, { online: [ann] });
  /** @type {unknown[]} */
  const heard = [];
  client.on('presence', (change) => heard.push(change));
  await socket.say({ type: 'online', users: [ann, ben] });
  await socket.say({ type: 'online', users: [{ ...ann, name: 'Annie' }] });
  await socket.say({ type: 'offline', users: [ben, { user: 'stranger', name: 'x' }] });
  await socket.say({ type: 'refreshed', name: 'Ada', role: 'member', online: [ben] });
  assert.deepEqual(heard, [
    { online: [ben], offline: [] },
    { online: [{ ...ann, name: 'Annie' }], offline: [] },
    { online: [], offline: [ben] },
    { online: [ben], offline: [{ ...ann, name: 'Annie' }] },
  ]);
  assert.deepEqual([...client.online.keys()], ['ben']);
});

test('an outage is told once, its failed attempts each, and its end', async () => {
  const client = newClient();
  /** @type {string[]} */
  const heard = [];
  client.on('reconnecting', ({ cause }) => heard.push(`reconnecting ${cause.code}`));
  client.on('retry', ({ attempt, inMs, cause }) => heard.push(`retry ${attempt} ${inMs > 0} ${cause.code}`));
  client.on('online', ({ how }) => heard.push(`online ${how}`));
  const opened = client.open();
  const first = await FakeSocket.opened();
  await first.answer('hello', welcome({ resume: 'token' }));
  await opened;
  first.ended(1006, '');
  await settle();
  assert.equal(client.status, 'reconnecting');
  for (const wait of [500, 1000]) {
    timers.tick(wait);
    await settle();
    FakeSocket.made.at(-1)?.ended(1006, '');
    await settle();
  }
  timers.tick(2000);
  const last = await FakeSocket.opened();
  await last.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  assert.deepEqual(heard, ['online first', 'reconnecting offline', 'retry 1 true offline', 'retry 2 true offline', 'online replayed']);
});

test('what a peer says as it comes and goes is told between the two, and in the order of the room', async () => {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket);
  await settle();
  /** @type {string[]} */
  const heard = [];
  room.eachPeer((peer, gone) => {
    peer.on('data', ({ data }) => heard.push(`${peer.name} says ${data}`), { signal: gone });
    gone.addEventListener('abort', () => heard.push(`${peer.name} is gone`));
  });
  room.on('data', ({ peer, data }) => heard.push(`the room hears ${data} from ${peer.name}`));
  socket.say({ type: 'peer-joined', room: 'standup', peer: { ...cid, media: false } });
  socket.say({ type: 'data', room: 'standup', from: 's7', data: 'question' });
  socket.say({ type: 'data', room: 'standup', from: 's2', data: 'answer' });
  socket.say({ type: 'peer-left', room: 'standup', session: 's7', reason: 'leave' });
  await settle();
  assert.deepEqual(heard, [
    'the room hears question from Cid', 'the room hears answer from Bob', 'Bob says answer', 'Cid says question', 'Cid is gone',
  ]);
});

test('so it is in a room that nobody knows yet', async () => {
  const { client, socket } = await signedIn();
  const joining = client.join('standup');
  await settle();
  const { id } = socket.expect('join');
  socket.say({ ...joined, ref: id });
  socket.say({ type: 'data', room: 'standup', from: 's2', data: 'bye' });
  socket.say({ type: 'peer-left', room: 'standup', session: 's2', reason: 'leave' });
  const room = await joining;
  /** @type {string[]} */
  const heard = [];
  room.on('peer-joined', ({ peer }) => {
    heard.push('joined');
    peer.on('data', ({ data }) => heard.push(`${peer.name} says ${data}`));
  });
  room.on('data', ({ data }) => heard.push(`room: ${data}`));
  room.on('peer-left', () => heard.push('left'));
  await settle();
  assert.deepEqual(heard, ['joined', 'room: bye', 'Bob says bye', 'left']);
});
