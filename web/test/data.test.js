// @ts-check
// Chat and data over data channels that come and go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeChannel, FakeMediaStream, FakePeerConnection, FakeTimers, openChannel, settle } from './fakes.js';
import { MAX_TEXT, PeerChat, chatMessage } from '../static/sdk/peer/chat.js';
import { MAX_DATA, PeerData, pack } from '../static/sdk/peer/data.js';
import { Peer } from '../static/sdk/peer/peer.js';

test('a message that is no text is refused, and one with a number is acknowledged whatever it is', () => {
  for (const text of [{ move: 1 }, new Uint8Array(3), 7, undefined]) assert.throws(() => chatMessage(text), TypeError);
  assert.throws(() => chatMessage('x'.repeat(MAX_TEXT + 1)), { code: 'too-long' });
  const chat = new PeerChat();
  const channel = openChannel();
  const poison = { type: 'chat', line: 'his', n: 1, text: { move: 1 }, at: 'now' };
  assert.equal(chat.receive(poison, channel), undefined);
  assert.deepEqual(channel.sent, [{ type: 'chat-ack', line: 'his', n: 1 }]);
  assert.equal(chat.receive({ ...poison, n: 2, text: 'good' }, channel)?.text, 'good');
});

test('a sender who is faster than the peer waits for it, in order', async () => {
  const data = new PeerData();
  const channel = openChannel();
  let sent = 0;
  for (let n = 0; n < 1200; n++) data.send(pack(n)).then(() => sent++);
  await settle();
  assert.equal(sent, 0, 'nobody knows yet whether the peer takes data');
  data.announced(true);
  data.open(channel);
  await settle();
  assert.deepEqual([sent, channel.sent.length], [1000, 1000]);
  const { line } = channel.sent[0];
  data.receive({ type: 'data-ack', line, n: 150 }, channel);
  await settle();
  assert.deepEqual([sent, channel.sent.at(-1).data], [1150, 1149]);
  const next = openChannel();
  data.open(next);
  assert.deepEqual([next.sent[0].n, next.sent.length], [151, 1000], 'what is not acknowledged is sent again');
  data.close();
  await settle();
  assert.equal(sent, 1200, 'and nobody waits for a peer who has left');
});

test('bytes wait by their size, and a signal gives up', async () => {
  const data = new PeerData();
  data.announced(true);
  data.open(openChannel());
  const big = pack('x'.repeat(MAX_DATA - 2));
  for (let n = 0; n < 16; n++) assert.equal(await data.send(big), true);
  const impatient = new AbortController();
  const waiting = data.send(big, impatient.signal);
  impatient.abort(new Error('no time'));
  await assert.rejects(waiting, /no time/);
  assert.throws(() => pack('x'.repeat(MAX_DATA)), { code: 'too-long' });
});

test('a peer who takes no data is missed', async () => {
  const data = new PeerData();
  const waiting = data.send(pack('anybody?'));
  data.announced(false);
  assert.equal(await waiting, false);
  assert.equal(data.sendUnreliably(pack('now or never'), openChannel()), false);
});

test('a peer with whom there is no connection in time is missed, until there is one', async () => {
  const timers = new FakeTimers();
  try {
    const data = new PeerData();
    /** @type {boolean[]} */
    const sent = [];
    for (let n = 0; n < 2; n++) data.send(pack(n)).then((was) => sent.push(was));
    await timers.pass(29_000);
    assert.deepEqual(sent, []);
    await timers.pass(2_000);
    assert.deepEqual(sent, [false, false]);
    assert.equal(await data.send(pack('still nobody')), false);
    const channel = openChannel();
    data.announced(true);
    data.open(channel);
    assert.equal(await data.send(pack('at last')), true);
    await timers.pass(60_000);
    assert.equal(await data.send(pack('and on')), true);
    assert.deepEqual(channel.sent.map((/** @type {any} */ { data }) => data), ['at last', 'and on']);
    const gone = new PeerData();
    gone.send(pack('quick'));
    gone.close();
    assert.equal(timers.waiting, 0);
  } finally {
    timers.restore();
  }
});

test('data comes as it was sent, once', () => {
  const [from, to] = [new PeerData(), new PeerData()];
  const [wire, back] = [openChannel(), openChannel()];
  from.announced(true);
  from.open(wire);
  const sent = [null, false, 'é', { deep: [1] }, new Uint8Array(20_000).fill(200), new ArrayBuffer(0)];
  const list = [1];
  from.send(pack(list, 'lists'));
  list.push(2);
  for (const one of sent) from.send(pack(one));
  const got = [...wire.sent, ...wire.sent].map((message) => to.receive(message, back)).filter((data) => data !== undefined);
  assert.deepEqual(got.shift(), { data: [1], topic: 'lists' });
  assert.deepEqual(got.map(({ data }) => data), [...sent.slice(0, -1), new Uint8Array(0)]);
  assert.throws(() => pack(undefined), TypeError);
  assert.throws(() => pack(1, 'x'.repeat(65)), TypeError);
  for (const nonsense of [{ type: 'data' }, { type: 'data', bytes: '!' }]) assert.equal(to.receive(nonsense, back), undefined);
});

/** A peer whose data channel is open. */
function reached() {
  const peer = new Peer({ session: 'a', user: 'u', name: 'Ann' }, {
    self: 'b',
    offers: true,
    chat: new PeerChat(),
    RTCPeerConnection: /** @type {any} */ (FakePeerConnection),
    MediaStream: /** @type {any} */ (FakeMediaStream),
    iceServers: [],
    send: () => {},
  });
  const pc = /** @type {FakePeerConnection} */ (/** @type {unknown} */ (peer.connection));
  const chat = /** @type {FakeChannel} */ (pc.channels[0]);
  chat.open();
  /** @param {string} label */
  const comes = (label) => {
    const channel = new FakeChannel(label, {});
    channel.readyState = 'open';
    pc.dispatchEvent(Object.assign(new Event('datachannel'), { channel }));
    return channel;
  };
  return { peer, pc, chat, comes };
}

test('a channel opens as soon as data goes through, whatever the browser calls the state of the connection', async () => {
  const { peer, pc } = reached();
  assert.notEqual(peer.state, 'connected');
  const game = peer.openChannel('game', { ordered: false });
  const carrier = /** @type {FakeChannel} */ (pc.channels[1]);
  assert.deepEqual([carrier.label, carrier.init], ['game', { ordered: false }]);
  assert.equal(peer.openChannel('game'), game);
  const sent = game.send('1');
  assert.equal(game.state, 'connecting');
  carrier.open();
  await sent;
  carrier.bufferedAmount = 2 << 20;
  let isSent = false;
  const waiting = game.send('2').then(() => (isSent = true));
  await settle();
  assert.deepEqual([carrier.sent, isSent], [[1], false]);
  carrier.bufferedAmount = 0;
  carrier.dispatchEvent(new Event('bufferedamountlow'));
  await waiting;
  assert.deepEqual(carrier.sent, [1, 2]);
  for (const label of ['', 'turnpike.x', 'x'.repeat(65), 7]) assert.throws(() => peer.openChannel(/** @type {any} */ (label)), TypeError);
});

test('what a peer opens is bounded, once for each label, and ends when the peer says so', () => {
  const { peer, chat, comes } = reached();
  /** @type {any[]} */
  const told = [];
  peer.on('channel', ({ channel }) => told.push(channel));
  const first = comes('game');
  const second = comes('game');
  assert.deepEqual([told.length, first.readyState, second.readyState, told[0].state], [1, 'closed', 'open', 'open']);
  assert.equal(comes('turnpike.unknown').readyState, 'closed');
  for (let n = 0; n < 63; n++) assert.equal(comes(`${n}`).readyState, 'open');
  assert.equal(comes('one too many').readyState, 'closed');
  chat.receive(JSON.stringify({ type: 'channel-closed', label: 'game' }));
  assert.deepEqual([told[0].state, second.readyState], ['closed', 'closed']);
  told[1].close();
  assert.deepEqual(chat.sent.at(-1), { type: 'channel-closed', label: '0' });
});
