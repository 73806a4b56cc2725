// @ts-check
// Cameras and microphones that are refused, missing, lost and silenced.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeMediaStream, settle, track } from './fakes.js';
import { Devices } from '../static/sdk/devices.js';

/**
 * A browser's devices. `fails` has the name of the error for each kind; a pair fails if one of the two does.
 *
 * @param {{ fails?: { audio?: string, video?: string }, states?: Record<string, string> }} [options]
 */
function browser({ fails = {}, states = {} } = {}) {
  /** @type {string[]} */
  const asked = [];
  const mediaDevices = Object.assign(new EventTarget(), {
    /** @param {any} constraints */
    async getUserMedia(constraints) {
      const kinds = /** @type {('audio' | 'video')[]} */ (Object.keys(constraints));
      asked.push(kinds.map((kind) => kind + (constraints[kind].deviceId ? ` ${constraints[kind].deviceId.exact}` : '')).sort().join('+'));
      for (const kind of kinds) if (fails[kind]) throw Object.assign(new Error('no'), { name: fails[kind] });
      return new FakeMediaStream(kinds.map((kind) => Object.assign(track(kind), { label: `the ${kind}` })));
    },
    /** @param {any} constraints */
    async getDisplayMedia(constraints) {
      if (fails.video) throw Object.assign(new Error('no'), { name: fails.video });
      return new FakeMediaStream([track('video'), ...(constraints.audio ? [track('audio')] : [])]);
    },
  });
  const permissions = {
    async query(/** @type {{ name: string }} */ { name }) {
      if (!states[name]) throw new TypeError('unknown');
      return { state: states[name] };
    },
  };
  const devices = new Devices({ mediaDevices: /** @type {any} */ (mediaDevices), permissions: /** @type {any} */ (permissions) });
  /** @type {string[]} */
  const heard = [];
  devices.on('problem', ({ source, code }) => heard.push(`${source} ${code}`));
  devices.on('lost', ({ source, label, replaced }) => heard.push(`lost ${source} ${label} ${replaced}`));
  devices.on('muted', ({ source, muted }) => heard.push(`${source} muted ${muted}`));
  const on = () => Object.entries(devices.tracks).filter(([, track]) => track).map(([source]) => source).sort().join(' ');
  return { devices, asked, fails, states, heard, on, mediaDevices };
}

test('one device is there if the other is refused, and the reason is told', async () => {
  const { devices, asked, heard, on } = browser({ fails: { video: 'NotAllowedError' }, states: { camera: 'denied', microphone: 'granted' } });
  const problems = await devices.start();
  assert.equal(on(), 'microphone');
  assert.deepEqual([problems.microphone, problems.camera?.code], [null, 'refused']);
  assert.match(problems.camera?.message ?? '', /camera.*Allow it/);
  assert.deepEqual(asked, ['audio+video', 'audio'], 'what is denied is not asked for again');
  assert.deepEqual(heard, ['camera refused']);
});

test('each is asked for alone if the browser does not tell what is denied, or one is missing', async () => {
  const silent = browser({ fails: { audio: 'NotAllowedError' } });
  await silent.devices.start();
  assert.deepEqual([silent.asked, silent.on()], [['audio+video', 'audio', 'video'], 'camera']);
  const missing = browser({ fails: { video: 'NotFoundError' }, states: { camera: 'prompt', microphone: 'prompt' } });
  await missing.devices.start();
  assert.deepEqual([missing.heard, missing.on()], [['camera missing'], 'microphone']);
  const busy = browser({ fails: { video: 'NotReadableError' } });
  assert.equal((await busy.devices.start({ microphone: false })).camera?.code, 'busy');
  assert.deepEqual(busy.asked, ['video']);
});

test('a question that the user has closed is not asked again at once', async () => {
  const { devices, asked, heard } = browser({ fails: { audio: 'NotAllowedError' }, states: { camera: 'prompt', microphone: 'prompt' } });
  await devices.start();
  assert.deepEqual(asked, ['audio+video']);
  assert.deepEqual(heard, ['microphone refused', 'camera refused']);
});

test('without a secure page, nothing is open', async () => {
  const devices = new Devices({ mediaDevices: /** @type {any} */ (undefined) });
  assert.equal((await devices.start()).microphone?.code, 'insecure');
  assert.equal((await devices.shareScreen())?.code, 'insecure');
});

test('a lost headset is told and replaced by the default one, muted if it was; a camera is only told', async () => {
  const { devices, asked, heard, on, fails } = browser();
  await devices.start();
  await devices.use('microphone', 'headset');
  await devices.toggle('microphone');
  const [headset, camera] = [/** @type {any} */ (devices.tracks.microphone), /** @type {any} */ (devices.tracks.camera)];
  headset.becomes('ended');
  await settle();
  assert.notEqual(devices.tracks.microphone, headset);
  assert.equal(devices.tracks.microphone?.enabled, false);
  camera.becomes('ended');
  await settle();
  assert.equal(on(), 'microphone');
  fails.audio = 'NotAllowedError'; // The user has revoked it.
  /** @type {any} */ (devices.tracks.microphone).becomes('ended');
  await settle();
  assert.deepEqual(asked, ['audio+video', 'audio headset', 'audio', 'audio']);
  assert.deepEqual(heard, ['lost microphone the audio true', 'lost camera the video false', 'lost microphone the audio false']);
  assert.equal(on(), '');
});

test('what the system silences is told, and another device stays muted', async () => {
  const { devices, heard } = browser();
  await devices.start();
  const first = /** @type {any} */ (devices.tracks.microphone);
  first.becomes('mute');
  first.becomes('unmute');
  assert.deepEqual(heard, ['microphone muted true', 'microphone muted false']);
  await devices.toggle('microphone');
  await devices.use('microphone', 'another');
  assert.equal(devices.tracks.microphone?.enabled, false);
  assert.equal(first.readyState, 'ended', 'the former device is released');
  first.becomes('mute');
  assert.equal(heard.length, 2);
});

test('the camera is released when it is turned off, and a screen ends with its sound', async () => {
  const { devices, on, fails } = browser();
  await devices.start();
  const camera = devices.tracks.camera;
  await devices.toggle('camera');
  assert.equal(camera?.readyState, 'ended');
  assert.equal(await devices.shareScreen(), null);
  assert.equal(on(), 'microphone screen screenAudio');
  devices.stopScreen();
  assert.equal(on(), 'microphone');
  fails.video = 'NotAllowedError';
  assert.equal((await devices.shareScreen())?.code, 'cancelled');
  devices.stop();
  assert.equal(on(), '');
});

test('devices that come while nobody wants them any more are released', async () => {
  const { devices, on, mediaDevices } = browser();
  /** @type {any} */
  let opened;
  mediaDevices.getUserMedia = async () => (opened = new FakeMediaStream([track('audio')]));
  const starting = devices.start({ camera: false });
  devices.stop();
  await starting;
  assert.equal(on(), '');
  assert.equal(opened.getTracks()[0].readyState, 'ended');
});

test('what is turned off while it opens stays off', async () => {
  const { devices, on, mediaDevices } = browser();
  /** @type {any[]} */
  const opened = [];
  const { getUserMedia } = mediaDevices;
  mediaDevices.getUserMedia = async (constraints) => {
    const stream = await getUserMedia(constraints);
    opened.push(...stream.getTracks());
    return stream;
  };
  const starting = devices.start();
  devices.close('camera');
  await starting;
  assert.equal(on(), 'microphone');
  assert.deepEqual(opened.map(({ kind, readyState }) => `${kind} ${readyState}`).sort(), ['audio live', 'video ended']);
  await devices.open('camera');
  assert.equal(on(), 'camera microphone');
});

test('a signal gives up what is being opened, and what comes all the same is released', async () => {
  const { devices, heard, on, mediaDevices } = browser();
  /** @type {any[]} */
  const opened = [];
  for (const name of /** @type {const} */ (['getUserMedia', 'getDisplayMedia'])) {
    const open = mediaDevices[name];
    mediaDevices[name] = async (constraints) => {
      const stream = await open(constraints);
      await settle();
      opened.push(...stream.getTracks());
      return stream;
    };
  }
  const reason = new Error('the user went elsewhere');
  const ways = [
    (/** @type {AbortSignal} */ signal) => devices.start({ signal }),
    (/** @type {AbortSignal} */ signal) => devices.open('camera', { signal }),
    (/** @type {AbortSignal} */ signal) => devices.toggle('microphone', { signal }),
    (/** @type {AbortSignal} */ signal) => devices.use('camera', 'one', { signal }),
    (/** @type {AbortSignal} */ signal) => devices.shareScreen(undefined, { signal }),
  ];
  for (const open of ways) {
    const ending = new AbortController();
    const opening = open(ending.signal);
    ending.abort(reason);
    await assert.rejects(opening, reason);
    await assert.rejects(async () => open(AbortSignal.abort(reason)), reason);
  }
  await settle();
  await settle();
  assert.deepEqual([opened.length, opened.filter(({ readyState }) => readyState === 'live'), on(), heard], [7, [], '', []]);
  const late = new AbortController();
  assert.deepEqual(await devices.start({ signal: late.signal }), { camera: null, microphone: null });
  late.abort(reason);
  assert.equal(on(), 'camera microphone', 'what is open stays');
});

test('a signal releases everything, for good', async () => {
  const { mediaDevices } = browser();
  const ending = new AbortController();
  const devices = new Devices({ mediaDevices: /** @type {any} */ (mediaDevices), signal: ending.signal });
  await devices.start();
  const { camera, microphone } = devices.tracks;
  ending.abort();
  assert.deepEqual([camera?.readyState, microphone?.readyState, devices.tracks.camera], ['ended', 'ended', null]);
  await devices.start();
  assert.equal(devices.tracks.camera, null);
  const never = new Devices({ mediaDevices: /** @type {any} */ (mediaDevices), signal: AbortSignal.abort() });
  await never.start();
  assert.equal(never.tracks.microphone, null);
});

test('new devices are told', () => {
  const { devices, mediaDevices } = browser();
  let told = 0;
  devices.on('devices', () => told++);
  mediaDevices.dispatchEvent(new Event('devicechange'));
  assert.equal(told, 1);
});
