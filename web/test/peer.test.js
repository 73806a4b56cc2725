// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeMediaStream, FakePeerConnection, FakeTimers, settle, track } from './fakes.js';
import { MAX_TEXT, PeerChat } from '../static/sdk/peer/chat.js';
import { Peer, insideOf } from '../static/sdk/peer/peer.js';
import { ALL_OFF, NO_TRACKS } from '../static/sdk/peer/sources.js';

/**
 * A peer that we meet. Side b is the newcomer, and offers first.
 *
 * @param {string} self
 * @param {string} other
 * @param {Partial<import('../static/sdk/peer/link.js').LinkOptions>} [options]
 */
function makePeer(self, other, options) {
  /** @type {any[]} */
  const sent = [];
  const peer = new Peer({ session: other, user: `user of ${other}`, name: other }, {
    self,
    offers: self === 'b',
    chat: new PeerChat(),
    RTCPeerConnection: /** @type {any} */ (FakePeerConnection),
    MediaStream: /** @type {any} */ (FakeMediaStream),
    iceServers: [],
    send: (_, negotiated) => sent.push(negotiated),
    ...options,
  });
  /** @type {unknown[]} */
  const errors = [];
  peer.on('error', (error) => errors.push(error));
  const pc = /** @type {FakePeerConnection} */ (/** @type {unknown} */ (peer.connection));
  return { peer, link: insideOf(peer), sent, errors, pc };
}

test('the newcomer offers first, and the smaller session is polite', async () => {
  const a = makePeer('a', 'b');
  const b = makePeer('b', 'a');
  await settle();
  assert.equal(a.link.polite, true);
  assert.equal(b.link.polite, false);
  assert.deepEqual(a.sent, []);
  assert.equal(b.sent.length, 1);
  assert.equal(b.sent[0].description.type, 'offer');
  assert.deepEqual(b.pc.configuration, { iceServers: [], bundlePolicy: 'max-bundle' });
  assert.deepEqual(b.pc.channels[0]?.init, { negotiated: true, id: 0, ordered: true });
  assert.deepEqual(b.pc.transceivers.map(({ direction }) => direction), ['sendrecv', 'sendrecv']);
});

test('the answering side sends on the transceivers of the offer', async () => {
  const video = track('video');
  const a = makePeer('a', 'b', { tracks: { ...NO_TRACKS, camera: video } });
  await a.link.receive({ description: { type: 'offer', sdp: 'offer' } });
  assert.equal(a.sent[0].description.type, 'answer');
  assert.equal(a.pc.transceivers.length, 2);
  assert.deepEqual(a.pc.transceivers.map(({ direction }) => direction), ['sendrecv', 'sendrecv']);
  assert.equal(a.pc.transceivers[1]?.sender.track, video);
});

test('glare: the impolite side ignores the offer and its candidates, the polite side gives way', async () => {
  const b = makePeer('b', 'a');
  await settle();
  await b.link.receive({ description: { type: 'offer', sdp: 'a foreign offer' } });
  await b.link.receive({ candidate: candidateFor('a foreign offer') });
  assert.equal(b.pc.signalingState, 'have-local-offer');
  assert.deepEqual(b.errors, []);
  assert.deepEqual(b.pc.candidates, []);

  const a = makePeer('a', 'b');
  a.pc.needNegotiation();
  await settle();
  assert.equal(a.sent[0].description.type, 'offer');
  await a.link.receive({ description: b.sent[0].description });
  assert.equal(a.sent[1].description.sdp, `answers ${b.sent[0].description.sdp}`);
  await b.link.receive({ description: a.sent[1].description });
  assert.equal(b.pc.signalingState, 'stable');
  assert.deepEqual([...a.errors, ...b.errors], []);
});

test('candidates wait for the remote description', async () => {
  const a = makePeer('a', 'b');
  await a.link.receive({ candidate: { candidate: 'one' } });
  await a.link.receive({ candidate: null });
  assert.deepEqual(a.pc.candidates, []);
  await a.link.receive({ description: { type: 'offer', sdp: 'offer' } });
  assert.deepEqual(a.pc.candidates, [{ candidate: 'one' }, null]);
  await a.link.receive({ candidate: { candidate: 'two' } });
  assert.equal(a.pc.candidates.length, 3);
  assert.deepEqual(a.errors, []);
});

test('a candidate that fits no description is reported', async () => {
  const a = makePeer('a', 'b');
  await a.link.receive({ description: { type: 'offer', sdp: 'offer' } });
  await a.link.receive({ candidate: candidateFor('another') });
  assert.equal(a.errors.length, 1);
});

test('both sides end stable and agreed, however messages and negotiations interleave', async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomFrom(seed);
    /** @type {{ to: 'a' | 'b', message: any }[]} */
    const wire = [];
    const a = makePeer('a', 'b', { send: (_, message) => wire.push({ to: 'b', message }) });
    const b = makePeer('b', 'a', { send: (_, message) => wire.push({ to: 'a', message }) });
    const sides = { a, b };
    for (let step = 0; step < 40 || wire.length > 0; step++) {
      const choice = random();
      if (choice < 0.2 && step < 40) sides[random() < 0.5 ? 'a' : 'b'].pc.restartIce();
      else if (choice < 0.7) deliver(wire, sides, random);
      else await turns(Math.floor(random() * 6));
    }
    do {
      await settle();
      while (wire.length > 0) deliver(wire, sides, random);
      await settle();
    } while (wire.length > 0);
    assert.equal(a.pc.signalingState, 'stable', `seed ${seed}`);
    assert.equal(b.pc.signalingState, 'stable', `seed ${seed}`);
    assert.equal(a.pc.remoteDescription.sdp, b.pc.localDescription.sdp, `seed ${seed}`);
    assert.equal(b.pc.remoteDescription.sdp, a.pc.localDescription.sdp, `seed ${seed}`);
    assert.deepEqual([...a.errors, ...b.errors], [], `seed ${seed}`);
  }
});

test('ICE that failed is restarted', () => {
  const b = makePeer('b', 'a');
  b.pc.becomeIce('disconnected');
  assert.equal(b.pc.restarts, 0);
  b.pc.becomeIce('failed');
  assert.equal(b.pc.restarts, 1);
});

test('new ICE servers change nothing else of the configuration', () => {
  const b = makePeer('b', 'a');
  b.link.setIceServers([{ urls: 'stun:example.org' }]);
  assert.deepEqual(b.pc.configuration, { iceServers: [{ urls: 'stun:example.org' }], bundlePolicy: 'max-bundle' });
});

test('chat waits for a channel, up to a bound', async () => {
  const { peer, pc } = makePeer('b', 'a');
  for (let n = 0; n < 100; n++) peer.sendMessage(`${n}`);
  assert.throws(() => peer.sendMessage('one too many'), { code: 'slow' });
  const channel = pc.channels[0];
  channel?.open();
  assert.deepEqual(channel?.sent[0], { type: 'media', audio: false, video: false, sources: {}, data: true });
  const { line, at, ...first } = channel?.sent[1];
  assert.deepEqual(first, { type: 'chat', n: 1, text: '0' });
  assert.ok(Date.parse(at) > 0);
  assert.equal(channel?.sent.length, 101);
  assert.throws(() => peer.sendMessage('not yet'), { code: 'slow' });
  channel?.receive(JSON.stringify({ type: 'chat-ack', line, n: 100 }));
  peer.sendMessage('now');
  if (channel) channel.bufferedAmount = 2 << 20;
  assert.throws(() => peer.sendMessage('more'), { code: 'slow' });
});

test('messages from the channel are checked', () => {
  const { peer, pc } = makePeer('b', 'a');
  /** @type {any[]} */
  const got = [];
  peer.on('message', (message) => got.push(message));
  const channel = pc.channels[0];
  for (const data of ['', 'null', '[]', '{"type":"chat"}', '{"type":"chat","text":1}', '{"type":"__proto__"}', new ArrayBuffer(2)]) {
    channel?.receive(data);
  }
  assert.equal(got.length, 0);
  channel?.receive(JSON.stringify({ type: 'chat', text: 'x'.repeat(MAX_TEXT + 1), at: 'never' }));
  assert.equal(got[0]?.text.length, MAX_TEXT);
  assert.ok(!Number.isNaN(got[0]?.at.getTime()));
  channel?.receive('{"type":"media","audio":true,"video":"yes"}');
  assert.deepEqual(peer.sources, { ...ALL_OFF, microphone: true });
});

test('chat arrives once and in order, however channels are lost', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomFrom(seed);
    let [from, to] = [new PeerChat(), new PeerChat()];
    /** @type {string[]} */
    const said = [];
    /** @type {string[]} */
    const heard = [];
    /** @type {unknown[]} what the sender knows to be there */
    const got = [];
    /** @type {{ wire: string[], back: string[] }[]} */
    const channels = [];
    const at = new Date(0);
    for (let step = 0; step < 60 || said.length > heard.length || said.length > got.length; step++) {
      const channel = channels.at(-1);
      const choice = step < 60 || !channel ? random() : 1;
      if (choice < 0.3) {
        said.push(`${said.length}`);
        from.send({ text: `${said.length - 1}`, at });
      } else if (choice < 0.4 || !channel) {
        const [wire, back] = [newWire(), newWire()];
        channels.push({ wire, back });
        from.open(/** @type {any} */ ({ readyState: 'open', bufferedAmount: 0, send: (/** @type {string} */ data) => wire.push(data) }));
      } else if (choice < 0.45) {
        from = new PeerChat(JSON.parse(JSON.stringify(from.saved))); // A reload on either side.
        to = new PeerChat(JSON.parse(JSON.stringify(to.saved)));
        channels.length = 0;
      } else {
        // A former channel may still deliver a message or an acknowledgement.
        const { wire, back } = (step < 60 && channels[Math.floor(random() * channels.length)]) || channel;
        const data = wire.shift();
        if (data) {
          const message = to.receive(JSON.parse(data), /** @type {any} */ ({ readyState: 'open', bufferedAmount: 0, send: (/** @type {string} */ ack) => back.push(ack) }));
          if (message) heard.push(message.text);
        } else if (back.length > 0) {
          got.push(...from.acknowledged(JSON.parse(back.shift() ?? '')).map(({ text }) => text));
        }
      }
    }
    assert.deepEqual(heard, said, `seed ${seed}`);
    assert.deepEqual(got, said, `seed ${seed}`);
  }
});

test('a peer that reloads its page gets a new connection, and media and chat go on', async () => {
  const video = track('video');
  const { peer, link, pc, sent } = makePeer('a', 'b', { tracks: { ...NO_TRACKS, camera: video } });
  await link.receive({ description: { type: 'offer', sdp: 'offer', id: 'old.1' } });
  pc.connect();
  peer.sendMessage('lost');
  link.renew(link.info, { self: 'a', offers: false });
  assert.equal(peer.connection, /** @type {any} */ (pc), 'the former connection carries on');
  sent.splice(0);
  await link.receive({ description: { type: 'offer', sdp: 'stale', id: 'old.2', to: 'unknown.1' } });
  assert.equal(sent.length, 0);
  await link.receive({ description: { type: 'offer', sdp: 'another', id: 'new.1' } });
  assert.equal(sent[0].description.sdp, 'answers another');
  const next = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  next.connect();
  assert.equal(peer.connection, /** @type {any} */ (next));
  assert.equal(pc.connectionState, 'closed');
  assert.deepEqual(next.channels[0]?.sent.map(({ type }) => type), ['media', 'chat']);
  assert.equal(next.transceivers[1]?.sender.track, video);
});

test('an offer from an unknown connection begins anew', async () => {
  const { peer, link, pc, sent } = makePeer('b', 'a');
  await settle();
  await link.receive({ description: { type: 'answer', sdp: `answers ${sent[0].description.sdp}`, id: 'old.1', to: sent[0].description.id } });
  assert.equal(pc.signalingState, 'stable');
  await link.receive({ description: { type: 'offer', sdp: 'offer', id: 'new.1' } });
  assert.notEqual(peer.connection, /** @type {any} */ (pc));
  assert.equal(sent.at(-1)?.description.type, 'answer');
});

test('after an interruption a peer is connected anew, or gets a new path if its descriptions lack ids', async () => {
  const { peer, link, pc, sent } = makePeer('b', 'a');
  await settle();
  await link.receive({ description: { type: 'answer', sdp: `answers ${sent[0].description.sdp}`, id: 'old.1', to: sent[0].description.id } });
  pc.connect();
  link.reconnect();
  await settle();
  assert.equal(peer.connection, /** @type {any} */ (pc), 'the former connection may come back to life');
  const offer = sent.at(-1).description;
  assert.deepEqual([offer.type, offer.to], ['offer', undefined]);
  await link.receive({ description: { type: 'answer', sdp: `answers ${offer.sdp}`, id: 'new.1', to: offer.id } });
  const next = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  next.connect();
  assert.equal(peer.connection, /** @type {any} */ (next));
  assert.equal(pc.connectionState, 'closed');

  const simple = makePeer('b', 'a');
  await settle();
  await simple.link.receive({ description: { type: 'answer', sdp: `answers ${simple.sent[0].description.sdp}` } });
  simple.pc.connect();
  simple.link.reconnect();
  await settle();
  assert.equal(simple.pc.restarts, 1);
});

test('after an interruption a program keeps its connection, with its streams, unless nothing else helps', async () => {
  const { peer, link, pc, sent } = makePeer('b', 'a');
  link.info = { ...link.info, transports: ['quic'] };
  await settle();
  await link.receive({ description: { type: 'answer', sdp: `answers ${sent[0].description.sdp}`, id: 'old.1', to: sent[0].description.id } });
  pc.connect();
  link.reconnect();
  await settle();
  assert.equal(pc.restarts, 1);
  assert.equal(FakePeerConnection.made.at(-1), pc);
  link.reconnect({ lost: true });
  await settle();
  assert.notEqual(FakePeerConnection.made.at(-1), pc);
  assert.equal(peer.connection, /** @type {any} */ (pc), 'until the next one works');
});

test('two peers who connect anew at the same time agree on one connection', async () => {
  const [a, b] = [makePeer('a', 'b'), makePeer('b', 'a')];
  await settle();
  await a.link.receive(b.sent.splice(0)[0]);
  await settle();
  for (const message of a.sent.splice(0)) await b.link.receive(message);
  for (const { pc } of [a, b]) pc.connect();
  a.link.reconnect();
  b.link.reconnect();
  await settle();
  for (let round = 0; round < 4; round++) {
    const [fromA, fromB] = [a.sent.splice(0), b.sent.splice(0)];
    for (const message of fromA) await b.link.receive(message);
    for (const message of fromB) await a.link.receive(message);
    await settle();
  }
  const [y, x] = FakePeerConnection.made.slice(-2).reverse();
  for (const pc of [x, y]) pc?.connect();
  assert.deepEqual([x?.signalingState, y?.signalingState], ['stable', 'stable']);
  assert.equal(x?.localDescription.type === 'answer' || y?.localDescription.type === 'answer', true);
  // No transceiver is left over, on which a microphone could stay live.
  for (const pc of [x, y]) assert.deepEqual(pc?.transceivers.map(({ mid }) => mid), ['0', '1']);
  assert.deepEqual([...a.errors, ...b.errors], []);
});

test('an answer to an offer that was taken back does not count for the next offer', async () => {
  const { link, pc, sent, errors } = makePeer('b', 'a');
  await settle();
  const first = sent[0].description;
  await link.restart({ lost: true });
  await settle();
  const second = sent[1].description;
  assert.equal(second.type, 'offer');
  await link.receive({ description: { type: 'answer', sdp: `answers ${first.sdp}`, id: 'x.1', to: first.id } });
  assert.equal(pc.signalingState, 'have-local-offer');
  await link.receive({ description: { type: 'answer', sdp: `answers ${second.sdp}`, id: 'x.2', to: second.id } });
  assert.equal(pc.signalingState, 'stable');
  assert.deepEqual(errors, []);
});

test('candidates are sent in batches', async () => {
  const timers = new FakeTimers();
  const { pc, sent } = makePeer('a', 'b');
  for (let n = 0; n < 40; n++) pc.find({ candidate: `${n}` });
  pc.find(null);
  timers.tick(50);
  timers.restore();
  assert.deepEqual(sent.map(({ candidates }) => candidates.length), [32, 9]);
  assert.equal(sent[1].candidates.at(-1), null);
});

test('a camera turned on later needs no negotiation, and the peer learns of it', async () => {
  const { link, pc, sent } = makePeer('b', 'a');
  await settle();
  const before = sent.length;
  pc.channels[0]?.open();
  const audio = track('audio');
  await link.share({ ...NO_TRACKS, microphone: audio });
  audio.enabled = false;
  await link.share({ ...NO_TRACKS, microphone: audio, camera: track('video') });
  await settle();
  assert.equal(sent.length, before);
  assert.equal(pc.transceivers[0]?.sender.track, audio);
  assert.deepEqual(pc.channels[0]?.sent.at(-1), { type: 'media', audio: false, video: true, sources: { camera: '1' }, data: true });
});

/** A candidate that the fakes accept only with this remote description. @param {string} sdp */
function candidateFor(sdp) {
  return /** @type {RTCIceCandidateInit} */ ({ candidate: 'x', for: sdp });
}

/**
 * Delivers the oldest message to one side, which is chosen at random. The server keeps each direction in order.
 *
 * @param {{ to: 'a' | 'b', message: any }[]} wire
 * @param {Record<'a' | 'b', { link: import('../static/sdk/peer/link.js').Link }>} sides
 * @param {() => number} random
 */
function deliver(wire, sides, random) {
  const to = random() < 0.5 ? 'a' : 'b';
  const index = wire.findIndex((entry) => entry.to === to);
  const [entry] = index < 0 ? [] : wire.splice(index, 1);
  if (entry) sides[to].link.receive(entry.message);
}

/** @param {number} count */
async function turns(count) {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
}

/** Park and Miller's generator: the same numbers for the same seed. @param {number} seed */
function randomFrom(seed) {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

/** @returns {string[]} */
function newWire() {
  return [];
}
