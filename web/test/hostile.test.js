// @ts-check
// What one peer does on purpose must not reach the others, nor break our side.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePeerConnection, openChannel, settle, track } from './fakes.js';
import { bob, inRoom, signedIn, withBob } from './signedin.js';
import { PeerChat } from '../static/sdk/peer/chat.js';
import { PeerData, pack } from '../static/sdk/peer/data.js';
import { insideOf } from '../static/sdk/peer/peer.js';

const cid = { session: 's7', user: 'u7', name: 'Cid' };
const refuse = () => {
  throw new TypeError('longer than the peer takes');
};

/** Ann in a room with others, whose channels are open. @param {(typeof bob)[]} people */
async function withPeople(people) {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket, { peers: people });
  await settle();
  const channels = [];
  for (const { session } of people) {
    const peer = room.peers.get(session);
    const offer = socket.sent.find(({ to, description }) => to === session && description)?.description;
    assert.ok(peer && offer);
    await insideOf(peer).receive({ description: { type: 'answer', sdp: `answers ${offer.sdp}`, id: 'theirs.1', to: offer.id } });
    const pc = /** @type {FakePeerConnection} */ (/** @type {unknown} */ (peer.connection));
    pc.connect();
    const channel = pc.channels[0];
    assert.ok(channel);
    channel.receive(JSON.stringify({ type: 'media', audio: false, video: false, sources: {}, data: true }));
    channels.push(channel);
  }
  return { client, socket, room, channels };
}

test('a peer whose channel refuses everything keeps nothing from the others', async () => {
  const { room, channels: [his, hers] } = await withPeople([bob, cid]);
  assert.ok(his && hers);
  his.send = refuse;
  const microphone = track('audio');
  await room.share({ microphone });
  room.mute('microphone');
  assert.deepEqual(hers.sent.filter(({ type }) => type === 'media').at(-1)?.audio, false);
  assert.equal(hers.sent.filter(({ type }) => type === 'media').length, 3, 'off, on, muted');
  assert.deepEqual((await room.send('e4')).missed, [room.peers.get('s2')]);
  assert.deepEqual(room.sendMessage('Hello.').missed, [room.peers.get('s2')]);
  assert.deepEqual(hers.sent.filter(({ type }) => type === 'data' || type === 'chat').map(({ data, text }) => data ?? text), ['e4', 'Hello.']);
});

test('who waits for room in the buffers learns it if the channel refuses then', async () => {
  const data = new PeerData();
  const channel = openChannel();
  data.announced(true);
  data.open(channel);
  for (let n = 0; n < 1000; n++) await data.send(pack(n));
  const waiting = data.send(pack('the last'));
  channel.send = refuse;
  data.receive({ type: 'data-ack', line: channel.sent[0].line, n: 1000 }, channel);
  assert.equal(await waiting, false);
});

test('a peer who sends and never reads fills no buffer with acknowledgements, nor with long ids', () => {
  const chat = new PeerChat();
  const channel = openChannel();
  assert.equal(chat.receive({ type: 'chat', line: 'x'.repeat(1000), n: 1, text: 'long' }, channel)?.text, 'long');
  assert.deepEqual(channel.sent, []);
  channel.bufferedAmount = 64 << 20;
  assert.equal(chat.receive({ type: 'chat', line: 'his', n: 1, text: 'flood' }, channel)?.text, 'flood');
  assert.deepEqual(channel.sent, []);
});

test('a peer who sends and never reads fills no buffer with what we say about our tracks', async () => {
  const { room, channel, says, told } = await withBob();
  const media = { type: 'media', audio: false, video: false, sources: {}, data: true };
  says(media);
  await room.share({ camera: track('video') });
  const said = channel.sent.length;
  channel.bufferedAmount = 64 << 20;
  for (let n = 0; n < 100; n++) says({ ...media, ...(n % 2 === 0 && { unwanted: ['camera'] }) });
  assert.equal(channel.sent.length, said);
  channel.bufferedAmount = 0;
  says({ ...media, unwanted: ['camera'] });
  assert.deepEqual([channel.sent.length, told().video], [said + 1, false]);
});

test('a description with ids of any shape is an error of that peer, and nothing more', async () => {
  const { room, socket } = await withPeople([bob]);
  const peer = room.peers.get('s2');
  /** @type {unknown[]} */
  const errors = [];
  peer?.on('error', (error) => errors.push(error));
  await socket.say({ type: 'signal', room: 'standup', from: 's2', description: /** @type {any} */ ({ type: 'offer', sdp: 'x', id: 5 }) });
  await settle();
  assert.equal(errors.length, 1);
  assert.equal(peer?.state, 'connected');
});
