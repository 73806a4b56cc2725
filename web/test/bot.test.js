// @ts-check
// A client that takes no part in WebRTC, and a browser's client beside one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePeerConnection, settle, welcome } from './fakes.js';
import { bob, inRoom, next, resumable, signedIn } from './signedin.js';

/** @param {import('./fakes.js').FakeSocket} socket */
const requests = (socket) => socket.sent.splice(0).map((message) => ({ ...message, id: undefined }));

test('a bot joins, and makes no connection, whatever comes', async () => {
  const { RTCPeerConnection, MediaStream } = globalThis;
  Object.assign(globalThis, { RTCPeerConnection: undefined, MediaStream: undefined });
  try {
    const { client, socket } = await resumable({ media: false, rtc: {} });
    const joining = client.join('standup');
    await settle();
    assert.equal(socket.sent[0].media, false);
    await socket.answer('join', { type: 'joined', room: 'standup', size: 4, peers: [bob], seq: 1 });
    const room = await joining;
    const peer = room.peers.get('s2');
    await socket.say({ type: 'signal', room: 'standup', from: 's2', description: { type: 'offer', sdp: 'x' }, seq: 2 });
    await socket.say({ type: 'ice-servers', iceServers: [], iceExpires: '2026-01-01T01:00:00Z', seq: 3 });
    await socket.say({ type: 'peer-back', room: 'standup', session: 's2', fresh: true, seq: 4 });
    assert.deepEqual([peer?.name, peer?.connection, requests(socket)], ['Bob', undefined, []]);
    // It says so again when it has to join again.
    const second = await next(socket);
    await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
    await second.answer('hello', welcome({ session: 's3', resume: 'other' }));
    assert.equal(second.expect('join').media, false);
  } finally {
    Object.assign(globalThis, { RTCPeerConnection, MediaStream });
  }
});

test('a bot reads and says by way of the server', async () => {
  const { client, socket } = await signedIn({ media: false });
  const room = await inRoom(client, socket);
  /** @type {unknown[]} */
  const heard = [];
  room.on('data', ({ peer, data, topic }) => heard.push([peer.name, data, topic]));
  room.on('message', ({ peer, text }) => heard.push([peer.name, text]));
  await socket.say({ type: 'data', room: 'standup', from: 's2', topic: 'game', data: { move: 'e4' } });
  await socket.say({ type: 'data', room: 'standup', from: 's2', data: [1] });
  await socket.say({ type: 'data', room: 'standup', from: 's2', topic: 'turnpike.chat', data: { text: 'Hello.', at: '2026-01-01T00:00:00Z' } });
  await socket.say({ type: 'data', room: 'standup', from: 's2', topic: 'turnpike.chat', data: { text: 7 } });
  await socket.say({ type: 'data', room: 'standup', from: 'somebody', data: 'x' });
  assert.deepEqual(heard, [['Bob', { move: 'e4' }, 'game'], ['Bob', [1], ''], ['Bob', 'Hello.']]);

  const sending = room.send({ move: 'e5' }, { topic: 'game' });
  room.sendMessage('Good evening.');
  await settle();
  const [{ id }] = socket.sent;
  const [said, chat] = requests(socket);
  assert.deepEqual(said, { type: 'say', room: 'standup', to: ['s2'], topic: 'game', data: { move: 'e5' }, id: undefined });
  assert.deepEqual([chat.topic, chat.to, chat.data.text], ['turnpike.chat', ['s2'], 'Good evening.']);
  await socket.say({ type: 'said', ref: id, room: 'standup', missed: ['s2'] });
  assert.deepEqual(await sending, { missed: [room.peers.get('s2')] });
});

test("to a bot, a browser's client makes no offer, and speaks by way of the server", async () => {
  const before = FakePeerConnection.made.length;
  const { client, socket } = await signedIn({}, { limits: /** @type {any} */ ({ dataBytes: 20 }) });
  const room = await inRoom(client, socket, { peers: [{ ...bob, media: false }] });
  assert.equal(FakePeerConnection.made.length, before);
  assert.deepEqual(requests(socket), []);
  const sending = room.send('e4', { topic: 'game' });
  await settle();
  const [{ id }] = socket.sent;
  assert.deepEqual(requests(socket), [{ type: 'say', room: 'standup', to: ['s2'], topic: 'game', data: 'e4', id: undefined }]);
  await socket.say({ type: 'said', ref: id, room: 'standup' });
  assert.deepEqual(await sending, { missed: [] });
  await assert.rejects(room.send('x'.repeat(30)), { code: 'too-long' });
  await assert.rejects(room.send(new Uint8Array(3)), { name: 'TypeError' });
  const abort = new AbortController();
  const given = assert.rejects(room.send('e5', { signal: abort.signal }), (reason) => reason === 'enough');
  abort.abort('enough');
  await given;
});

test('an app may have the server carry its data to everybody', async () => {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket);
  requests(socket);
  const sending = room.send({ at: 1 }, { via: 'server' });
  await settle();
  const [said] = requests(socket);
  assert.deepEqual(said, { type: 'say', room: 'standup', data: { at: 1 }, id: undefined });
  client.close();
  await assert.rejects(sending, { code: 'closed' });
});

test('a bot that leaves meanwhile is among those who missed it', async () => {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket, { peers: [{ ...bob, media: false }] });
  const peer = room.peers.get('s2');
  const sending = room.send('e4');
  await settle();
  const { id } = socket.sent.find(({ type }) => type === 'say');
  await socket.say({ type: 'peer-left', room: 'standup', session: 's2', reason: 'leave' });
  await socket.say({ type: 'said', ref: id, room: 'standup', missed: ['s2'] });
  assert.deepEqual(await sending, { missed: [peer] });
});
