// @ts-check
// Senders of chat learn that it has arrived, and people who lost the connection get what was written meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { bob, inRoom, joined, newClient, resumable, signedIn, withBob } from './signedin.js';
import { insideOf } from '../static/sdk/peer/peer.js';

/** @import { Room } from '../static/sdk/turnpike.js' */

/** @param {Room} room */
function deliveriesIn(room) {
  /** @type {string[]} */
  const deliveries = [];
  room.on('delivered', ({ peer, text, at }) => deliveries.push(`${peer.name} has ${text}${at instanceof Date ? '' : ', but not since when'}`));
  return deliveries;
}

/** A newcomer makes an offer. @param {Room} room @param {string} session */
async function offerOf(room, session) {
  await settle();
  const peer = room.peers.get(session);
  if (!peer) throw new Error('the newcomer is not there');
  await insideOf(peer).receive({ description: { type: 'offer', sdp: 'offer' } });
  return openNewest();
}

/** The channel of the newest connection, which opens. */
function openNewest() {
  const channel = FakePeerConnection.made.at(-1)?.channels[0];
  if (!channel) throw new Error('there is no connection');
  channel.open();
  return channel;
}

test('a message that the peer acknowledges is delivered, once and in order, and others are not', async () => {
  const { room, peer, channel, says } = await withBob();
  const deliveries = deliveriesIn(room);
  /** @type {unknown[]} */
  const ofPeer = [];
  peer.on('delivered', ({ text, at }) => ofPeer.push([text, at.getTime()]));
  const sent = ['one', 'two', 'three'].map((text) => room.sendMessage(text));
  const { line } = channel.sent.find(({ type }) => type === 'chat');
  for (const ack of [{ line: 'another', n: 3 }, { line, n: 0 }, { line, n: 'x' }, { line, n: {} }, { line }, { n: 3 }, {}]) says({ type: 'chat-ack', ...ack });
  assert.deepEqual(deliveries, [], 'what acknowledges nothing');
  says({ type: 'chat-ack', line, n: 2 });
  says({ type: 'chat-ack', line, n: 1 });
  says({ type: 'chat-ack', line, n: 2 });
  assert.deepEqual(deliveries, ['Bob has one', 'Bob has two']);
  says({ type: 'chat-ack', line, n: 1e9 });
  assert.deepEqual(deliveries, ['Bob has one', 'Bob has two', 'Bob has three']);
  assert.deepEqual(ofPeer, sent.map(({ text, at }) => [text, at.getTime()]), 'each with the time that sendMessage said');
});

test('a page that was reloaded learns what has arrived of the page before it', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const { client, socket } = await resumable({ storage, events });
  const room = await inRoom(client, socket);
  const { at } = room.sendMessage('before the reload');
  events.dispatchEvent(new Event('pagehide'));
  const second = newClient({ storage });
  const opened = second.open();
  const again = await FakeSocket.opened();
  await again.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed', rooms: [/** @type {any} */ ({ ...joined, type: undefined })] }));
  await opened;
  const now = [...second.rooms.values()][0];
  if (!now) throw new Error('the room is not there');
  /** @type {unknown[]} */
  const delivered = [];
  now.on('delivered', (detail) => delivered.push([detail.text, detail.at.getTime()]));
  const channel = openNewest();
  const { line, n } = channel.sent.find(({ type }) => type === 'chat');
  channel.receive(JSON.stringify({ type: 'chat-ack', line, n }));
  assert.deepEqual(delivered, [['before the reload', at.getTime()]]);
});

test('somebody who lost the connection gets what was written meanwhile, somebody who left does not', async () => {
  const { client, socket } = await resumable();
  const cid = { session: 's3', user: 'u3', name: 'Cid' };
  const room = await inRoom(client, socket, { peers: [bob, cid] });
  const deliveries = deliveriesIn(room);
  room.sendMessage('to both');
  await socket.say({ type: 'peer-left', room: 'standup', session: 's2', reason: 'gone', seq: 1 });
  await socket.say({ type: 'peer-left', room: 'standup', session: 's3', reason: 'leave', seq: 2 });
  assert.deepEqual(room.sendMessage('to nobody who is here').missed, []);
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { ...bob, session: 's4' }, seq: 3 });
  const channel = await offerOf(room, 's4');
  const chat = channel.sent.filter(({ type }) => type === 'chat');
  assert.deepEqual(chat.map(({ n, text }) => [n, text]), [[1, 'to both'], [2, 'to nobody who is here']]);
  channel.receive(JSON.stringify({ type: 'chat-ack', line: chat[0].line, n: 2 }));
  assert.deepEqual(deliveries, ['Bob has to both', 'Bob has to nobody who is here']);
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { ...cid, session: 's5' }, seq: 4 });
  assert.deepEqual((await offerOf(room, 's5')).sent.filter(({ type }) => type === 'chat'), []);
});

test('a reload keeps what waits for somebody who lost the connection', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const { client, socket } = await resumable({ storage, events });
  const room = await inRoom(client, socket);
  await socket.say({ type: 'peer-left', room: 'standup', session: 's2', reason: 'gone', seq: 1 });
  room.sendMessage('for when he is back');
  events.dispatchEvent(new Event('pagehide'));
  const second = newClient({ storage });
  const opened = second.open();
  const again = await FakeSocket.opened();
  await again.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed', rooms: [/** @type {any} */ ({ ...joined, type: undefined, peers: [] })] }));
  await opened;
  const now = second.rooms.get('standup');
  if (!now) throw new Error('the room is not there');
  now.sendMessage('written after the reload');
  await again.say({ type: 'peer-joined', room: 'standup', peer: { ...bob, session: 's4' } });
  const chat = (await offerOf(now, 's4')).sent.filter(({ type }) => type === 'chat');
  assert.deepEqual(chat.map(({ n, text }) => [n, text]), [[1, 'for when he is back'], [2, 'written after the reload']]);
});

test('a message can go to some peers alone', async () => {
  const { client, socket } = await resumable();
  const room = await inRoom(client, socket, { peers: [bob, { session: 's3', user: 'u3', name: 'Cid' }] });
  const waiting = () => [...room.peers.values()].map((peer) => insideOf(peer).chat.saved.waiting.map(({ text }) => text));
  const [one, other] = [...room.peers.values()];
  if (!one || !other) throw new Error('somebody is missing');
  room.sendMessage('to Bob', { to: one });
  room.sendMessage('to both', { to: [one, other] });
  assert.deepEqual(waiting(), [['to Bob', 'to both'], ['to both']]);
  assert.throws(() => room.sendMessage('x', { to: /** @type {any} */ ('s2') }), TypeError);
  assert.throws(() => room.sendMessage('x', { to: /** @type {any} */ (null) }), TypeError);
  await socket.say({ type: 'peer-left', room: 'standup', session: 's3', reason: 'gone', seq: 1 });
  room.sendMessage('again to Bob', { to: one });
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { session: 's4', user: 'u3', name: 'Cid' }, seq: 2 });
  assert.deepEqual(waiting()[1], ['to both'], 'what was for Bob alone');
});

test('a message that nobody took goes to nobody later, and one that somebody took is sent', async () => {
  const { client, socket } = await resumable();
  const cid = { session: 's3', user: 'u3', name: 'Cid' };
  const room = await inRoom(client, socket, { peers: [bob, cid] });
  await socket.say({ type: 'peer-left', room: 'standup', session: 's3', reason: 'gone', seq: 1 });
  for (let i = 0; i < 100; i++) room.sendMessage('waits', { to: [...room.peers.values()] });
  assert.throws(() => room.sendMessage('too much'), { code: 'slow' });
  await socket.say({ type: 'peer-joined', room: 'standup', peer: { ...cid, session: 's4', media: false }, seq: 2 });
  assert.deepEqual([...room.peers.values()].map((peer) => insideOf(peer).chat.saved.waiting.length), [100, 0]);
  assert.deepEqual(room.sendMessage('by way of the server').missed.map(({ name }) => name), ['Bob']);
});

test('by way of the server, a message is delivered once the server has it', async () => {
  const { client, socket } = await signedIn();
  const scribe = { session: 's3', user: 'u3', name: 'Scribe', media: false };
  const room = await inRoom(client, socket, { peers: [scribe, { session: 's4', user: 'u4', name: 'Echo', media: false }] });
  const deliveries = deliveriesIn(room);
  for (const peer of room.peers.values()) peer.on('error', (error) => deliveries.push(`${peer.name} lacks it: ${/** @type {any} */ (error).code}`));
  room.sendMessage('hello');
  await settle();
  await socket.say({ type: 'said', ref: socket.sent.find(({ type }) => type === 'say').id, room: 'standup', missed: ['s4'] });
  assert.deepEqual(deliveries, ['Scribe has hello', 'Echo lacks it: slow']);
});
