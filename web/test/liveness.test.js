// @ts-check
// How a client notices that its network is gone, or back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePeerConnection, FakeSocket, settle, welcome } from './fakes.js';
import { bob, joined, signedIn, timers } from './signedin.js';
import { insideOf } from '../static/sdk/client.js';
import { insideOf as insideOfPeer } from '../static/sdk/peer/peer.js';

test('a connection that answers no probe is dropped, and the session comes back at once', async () => {
  const events = new EventTarget();
  const { client, socket } = await signedIn({ events }, { resume: 'token' });
  /** @type {string[]} */
  const heard = [];
  for (const name of /** @type {const} */ (['reconnecting', 'online'])) {
    client.on(name, (detail) => heard.push('how' in detail ? `${name} ${detail.how}` : name));
  }
  events.dispatchEvent(new Event('online'));
  const { id } = socket.expect('ping');
  await socket.say({ type: 'pong', ref: id });
  timers.tick(2000);
  assert.equal(client.status, 'online');
  events.dispatchEvent(new Event('visibilitychange'));
  socket.expect('ping');
  timers.tick(2000);
  const next = await FakeSocket.opened(); // with no pause
  assert.notEqual(next, socket);
  await next.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  assert.deepEqual(heard, ['reconnecting', 'online replayed']);
});

test('if a peer and the server are silent, the session comes back, and the peer is connected anew', async () => {
  const { client, socket } = await signedIn({}, { session: 's1', resume: 'token' });
  await socket.say({ ...joined, peers: [] });
  await socket.say({ type: 'peer-joined', room: joined.room, peer: bob });
  const peer = client.rooms.get(joined.room)?.peers.get(bob.session);
  const pc = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  await (peer && insideOfPeer(peer))?.receive({ description: { type: 'offer', sdp: 'offer', id: 'his.1' } });
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
  socket.expect('ping');
  await halfSeconds(2);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's1', resume: 'token 2', resumed: 'replayed' }));
  await settle();
  assert.notEqual(FakePeerConnection.made.at(-1), pc);
  assert.equal(next.sent.filter(({ type }) => type === 'signal').at(-1)?.description.type, 'offer');
});

test('a silent peer is left alone at first, if the server answers', async () => {
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
  assert.equal(client.status, 'online');
  assert.deepEqual([FakePeerConnection.made.length, pc.restarts], [made, 0]);
});

test('a pause ends when the network is back', async () => {
  const events = new EventTarget();
  const { socket } = await signedIn({ events }, { resume: 'token' });
  socket.ended(1006, '');
  await settle();
  assert.equal(FakeSocket.made.length, 1);
  events.dispatchEvent(new Event('online'));
  await settle();
  assert.equal(FakeSocket.made.length, 2);
});

test('the server is probed if nothing comes in after a message', async () => {
  const { client, socket } = await signedIn();
  insideOf(client).send({ type: 'signal', room: 'x', to: 'y', candidates: [null] });
  socket.expect('signal');
  timers.tick(4000);
  socket.expect('ping');
});

/**
 * A client with one peer, bob, whose connection stands.
 */
async function withBob() {
  const { client, socket } = await signedIn({}, { session: 's1', resume: 'token' });
  await socket.say({ ...joined, peers: [] });
  await socket.say({ type: 'peer-joined', room: joined.room, peer: bob });
  const room = client.rooms.get(joined.room);
  const peer = room?.peers.get(bob.session);
  if (!room || !peer) throw new Error('bob is not there');
  const pc = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  await insideOfPeer(peer).receive({ description: { type: 'offer', sdp: 'offer', id: 'his.1' } });
  pc.connect();
  await socket.say({ type: 'online', users: [] }); // Else the server would seem to be silent after our answer.
  socket.sent.length = 0;
  return { socket, room, peer, pc };
}

/** Lets checks find that something or nothing has come in. @param {FakePeerConnection} pc @param {number} count */
async function checks(pc, count, { heard = 0, late = 0 } = {}) {
  for (let n = 0; n < count; n++) {
    pc.received += heard;
    timers.tick(500, late);
    await settle();
  }
}

test('a peer who leaves while in doubt gets no connection any more', async () => {
  const { socket, pc } = await withBob();
  await checks(pc, 4, { heard: 1000 });
  pc.iceConnectionState = 'disconnected';
  pc.connectionState = 'disconnected';
  pc.dispatchEvent(new Event('connectionstatechange')); // which raises the doubt
  await settle();
  const made = FakePeerConnection.made.length;
  const ping = socket.sent.find(({ type }) => type === 'ping');
  await socket.say({ type: 'peer-left', room: joined.room, session: bob.session, reason: 'leave' });
  await socket.say({ type: 'pong', ref: ping.id });
  assert.equal(FakePeerConnection.made.length, made);
  assert.ok(!socket.sent.some(({ type }) => type === 'signal'));
});

test('a probe whose own timer is too late is no sign of a dead network, but a second one is', async () => {
  const events = new EventTarget();
  const { client, socket } = await signedIn({ events }, { resume: 'token' });
  events.dispatchEvent(new Event('online'));
  socket.expect('ping');
  timers.tick(1000, 400);
  await settle();
  assert.equal(client.status, 'online', 'the answer may wait behind the timer');
  timers.tick(1000);
  await settle();
  assert.equal(client.status, 'reconnecting');
});

test('silence does not count while this machine is too late for its own checks, unless it always is', async () => {
  const { socket, pc } = await withBob();
  await checks(pc, 4, { heard: 1000 });
  await checks(pc, 3, { late: 400 });
  await checks(pc, 1);
  await checks(pc, 3, { late: 400 });
  assert.ok(!socket.sent.some(({ type }) => type === 'ping'));
  await checks(pc, 4, { late: 400 });
  assert.ok(socket.sent.some(({ type }) => type === 'ping'));
});

test('an answer that is refused time and again ends the connection', async () => {
  const { socket, peer, pc } = await withBob();
  /** @type {unknown[]} */
  const errors = [];
  peer.on('error', (error) => errors.push(error));
  const offered = () => socket.sent.filter((message) => message.description?.type === 'offer');
  pc.restartIce();
  await settle();
  await socket.say({ type: 'online', users: [] });
  for (let round = 1; round <= 2; round++) {
    const { id } = offered().at(-1)?.description ?? {};
    await insideOfPeer(peer).receive({ description: { type: 'answer', sdp: 'what the browser refuses', id: `his.${round + 1}`, to: id } });
    assert.equal(errors.length, round);
    const made = FakePeerConnection.made.length;
    for (let n = 0; n < 25 && offered().length === round; n++) await checks(pc, 1, { heard: 1000 });
    await socket.say({ type: 'online', users: [] });
    assert.equal(FakePeerConnection.made.length - made, round === 1 ? 0 : 1);
    assert.equal(offered().length, round + 1);
  }
  assert.equal(offered().at(-1)?.description.to, undefined, 'an offer of another connection');
});

test('ICE servers that one connection does not take reach the others', async () => {
  const { socket, room, pc } = await withBob();
  await socket.say({ type: 'peer-joined', room: joined.room, peer: { session: 's3', user: 'u3', name: 'Cid' } });
  const cid = /** @type {FakePeerConnection} */ (FakePeerConnection.made.at(-1));
  pc.setConfiguration = () => {
    throw new Error('not now');
  };
  /** @type {unknown[]} */
  const errors = [];
  room.peers.get(bob.session)?.on('error', (error) => errors.push(error));
  await socket.say({ type: 'ice-servers', iceServers: [{ urls: 'stun:example.org' }], iceExpires: '' });
  assert.deepEqual(cid.configuration.iceServers, [{ urls: 'stun:example.org' }]);
  assert.equal(errors.length, 1);
});

test('the path comes from the statistics of the checks: nobody asks for them twice', async () => {
  const { peer, pc } = await withBob();
  let asked = 0;
  pc.getStats = async () => {
    asked++;
    return new Map(/** @type {[string, any][]} */ ([
      ['t', { type: 'transport', selectedCandidatePairId: 'p', bytesReceived: asked }],
      ['p', { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', currentRoundTripTime: 0.02 }],
      ['l', { candidateType: 'host', protocol: 'udp' }],
      ['r', { candidateType: 'host', protocol: 'udp' }],
    ]));
  };
  /** @type {unknown[]} */
  const paths = [];
  peer.on('path', (path) => paths.push(path?.kind));
  await checks(pc, 8);
  assert.deepEqual([asked, peer.path?.rtt, paths], [8, 20, ['direct']]);
  pc.connectionState = 'disconnected';
  pc.dispatchEvent(new Event('connectionstatechange'));
  assert.deepEqual([peer.path, paths], [undefined, ['direct', undefined]]);
});
