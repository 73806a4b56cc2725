// @ts-check
// What one shares in a room, and how the others learn which track is which.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeMediaStream, FakePeerConnection, settle, track } from './fakes.js';
import { inRoom, joined, signedIn, withBob } from './signedin.js';
import { limitOf } from '../static/sdk/peer/limits.js';
import { ALL_OFF, NO_TRACKS } from '../static/sdk/peer/sources.js';

const UNDERSTANDS = { type: 'media', audio: false, video: false, sources: {}, data: true };

test('share changes only what it is given, and takes a MediaStream', async () => {
  const { room, told } = await withBob();
  const [microphone, camera] = [track('audio'), track('video')];
  await room.share(/** @type {any} */ (new FakeMediaStream([camera, microphone])));
  assert.deepEqual(room.sources, { ...NO_TRACKS, microphone, camera });
  const another = track('video');
  await room.share({ camera: another, microphone: undefined });
  assert.deepEqual(room.sources, { ...NO_TRACKS, microphone, camera: another });
  await room.share({ microphone: null });
  assert.deepEqual(room.sources, { ...NO_TRACKS, camera: another });
  assert.deepEqual(told(), { type: 'media', audio: false, video: true, sources: { camera: '1' }, data: true });
});

test('share refuses what is no track of the right kind, and changes nothing then', async () => {
  const { room } = await withBob();
  const camera = track('video');
  await room.share({ camera });
  /** @type {[unknown, RegExp][]} */
  const wrong = [
    [{ camera: null, microphone: track('video') }, /microphone takes an audio track or null, not one of kind 'video'/],
    [{ screen: 7 }, /screen takes a video track or null, not 7/],
    [{ audio: track('audio') }, /'audio' is nothing that can be shared/],
    [null, /share takes a MediaStream or tracks by source/],
    ['camera', /share takes a MediaStream or tracks by source/],
  ];
  for (const [share, message] of wrong) {
    await assert.rejects(room.share(/** @type {any} */ (share)), { name: 'TypeError', message });
  }
  assert.throws(() => room.mute(/** @type {any} */ ('audio')), TypeError);
  assert.deepEqual(room.sources, { ...NO_TRACKS, camera });
});

test('what is shared follows its tracks: they end, fall silent and are muted', async () => {
  const { room, pc, told } = await withBob();
  /** @type {string[]} */
  const heard = [];
  room.on('sources', ({ source, reason }) => heard.push(`${source} ${reason}`));
  const [microphone, camera] = [track('audio'), track('video')];
  await room.share({ microphone, camera });
  microphone.becomes('mute'); // A phone call, for example.
  assert.deepEqual(told().sources, { camera: '1' });
  microphone.becomes('unmute');
  room.mute('microphone');
  room.mute('microphone');
  assert.equal(microphone.enabled, false);
  assert.deepEqual(told().sources, { camera: '1' });
  room.mute('microphone', false);
  camera.becomes('ended');
  await settle();
  assert.deepEqual([room.sources.camera, pc.transceivers[1]?.sender.track], [null, null]);
  assert.deepEqual(told().sources, { microphone: '0' });
  await room.share({ microphone: null });
  microphone.becomes('mute'); // It is no concern of ours any more.
  const ended = track('video');
  ended.readyState = 'ended';
  await room.share({ camera: ended });
  await settle();
  assert.equal(room.sources.camera, null);
  assert.deepEqual(heard, [
    'microphone shared', 'camera shared', 'microphone muted', 'microphone unmuted', 'microphone muted', 'microphone unmuted',
    'camera ended', 'microphone stopped', 'camera shared', 'camera ended',
  ]);
});

test('a screen gets a place of its own once the peer understands it, and keeps it', async () => {
  const { room, pc, says, told, answer } = await withBob();
  const [camera, screen] = [track('video'), track('video')];
  await room.share({ camera, screen });
  assert.equal(pc.transceivers.length, 2);
  assert.equal(pc.transceivers[1]?.sender.track, screen, 'in the place of the camera, for older clients');
  says(UNDERSTANDS);
  await answer();
  assert.deepEqual(pc.transceivers.map(({ direction }) => direction), ['sendrecv', 'sendrecv', 'sendonly']);
  assert.deepEqual([pc.transceivers[1]?.sender.track, pc.transceivers[2]?.sender.track], [camera, screen]);
  assert.deepEqual(told(), { type: 'media', audio: false, video: true, sources: { camera: '1', screen: '2' }, data: true });
  await room.share({ screen: null });
  assert.equal(pc.transceivers[2]?.sender.track, null);
  await room.share({ screen: track('video') });
  await settle();
  assert.equal(pc.transceivers.length, 3);
});

test('an older client sees the screen in the place of the camera', async () => {
  const { room, pc, says, told } = await withBob();
  says({ type: 'media', audio: true, video: true });
  const [camera, screen] = [track('video'), track('video')];
  await room.share({ screen, screenAudio: track('audio') });
  await settle();
  assert.equal(pc.transceivers.length, 2);
  assert.equal(pc.transceivers[1]?.sender.track, screen);
  assert.equal(told().video, true);
  await room.share({ camera, screen: null });
  assert.equal(pc.transceivers[1]?.sender.track, camera);
});

test('the peer says which section carries what, and an older one only that it sends', async () => {
  const { peer, pc, says } = await withBob();
  const [microphone, camera] = pc.transceivers.map(({ receiver }) => receiver.track);
  const theirs = pc.addTransceiver('video', { direction: 'recvonly' });
  theirs.mid = '7';
  /** @type {unknown[]} */
  const heard = [];
  peer.on('sources', (sources) => heard.push(sources));
  says({ ...UNDERSTANDS, sources: { camera: '1', screen: '7', screenAudio: '9', nonsense: '1', microphone: 3 } });
  assert.deepEqual(peer.sources, { camera: true, screen: true, screenAudio: true, microphone: false });
  assert.deepEqual(peer.stream.getTracks(), [microphone, camera]);
  assert.deepEqual(peer.screen.getTracks(), [theirs.receiver.track]);
  says({ ...UNDERSTANDS, sources: { microphone: '0' } });
  assert.deepEqual(peer.sources, { ...ALL_OFF, microphone: true });
  says({ type: 'media', audio: false, video: true });
  assert.deepEqual(peer.sources, { ...ALL_OFF, camera: true });
  says({ ...UNDERSTANDS, sources: 'all' });
  assert.equal(heard.length, 4);
});

test('tracks speak for a client that says nothing about them', async () => {
  const { peer, pc } = await withBob();
  const camera = /** @type {any} */ (pc.transceivers[1]?.receiver.track);
  camera.muted = true;
  pc.dispatchEvent(Object.assign(new Event('track'), { track: camera }));
  assert.equal(peer.sources.camera, false);
  camera.becomes('unmute');
  assert.equal(peer.sources.camera, true);
  camera.becomes('mute');
  assert.equal(peer.sources.camera, false);
});

test('what each connection gets depends on how many there are', async () => {
  const { socket, room, pc } = await withBob();
  await room.share({ camera: track('video') });
  const encoding = () => /** @type {any} */ (pc.transceivers[1]?.sender.parameters.encodings[0]);
  await settle();
  assert.deepEqual(encoding(), { active: true, maxBitrate: 1_500_000, maxFramerate: 30, scaleResolutionDownBy: 1 });
  for (let n = 3; n < 6; n++) {
    await socket.say({ type: 'peer-joined', room: joined.room, peer: { session: `s${n}`, user: `u${n}`, name: `${n}` } });
  }
  await settle();
  assert.deepEqual(encoding(), { active: true, maxBitrate: 300_000, maxFramerate: 20, scaleResolutionDownBy: 2 });
  for (let n = 3; n < 6; n++) await socket.say({ type: 'peer-left', room: joined.room, session: `s${n}`, reason: 'leave' });
  await settle();
  assert.equal(encoding().maxBitrate, 1_500_000);
  assert.deepEqual([2, 3, 4, 5, 8, 9, 16].map((people) => limitOf('camera', people).maxBitrate / 1000), [1500, 700, 700, 300, 300, 150, 150]);
  assert.equal(limitOf('screen', 16).maxBitrate, 1_000_000);
});

test('an app sees each connection with its peer before it is used, and may fail', async () => {
  /** @type {string[]} */
  const seen = [];
  const { client, socket } = await signedIn({
    rtc: {
      RTCPeerConnection: /** @type {any} */ (FakePeerConnection),
      iceTransportPolicy: 'relay',
      onConnection: (connection, peer) => {
        seen.push(`${peer.name} ${peer.sources.camera} ${connection.getConfiguration().iceTransportPolicy} ${connection.getTransceivers().length}`);
        throw new Error('of the app');
      },
    },
  });
  const { reportError } = globalThis;
  /** @type {unknown[]} */
  const reported = [];
  globalThis.reportError = (error) => reported.push(error);
  try {
    const room = await inRoom(client, socket);
    assert.equal(room.peers.size, 1);
  } finally {
    globalThis.reportError = reportError;
  }
  assert.deepEqual(seen, ['Bob false relay 0']);
  assert.equal(reported.length, 1);
});

test('a track that is taken away and given back at once is sent', async () => {
  const { room, pc } = await withBob();
  const microphone = track('audio');
  await room.share({ microphone });
  const sender = /** @type {any} */ (pc.getTransceivers()[0]).sender;
  let chain = Promise.resolve();
  sender.replaceTrack = (/** @type {unknown} */ given) => (chain = chain.then(() => {
    sender.track = given; // Later, and in order, as in browsers.
  }));
  await Promise.all([room.share({ microphone: null }), room.share({ microphone })]);
  assert.equal(sender.track, microphone);
});
