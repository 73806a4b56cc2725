// @ts-check
// What a browser's user has chosen of devices: what is opened of it, and what is kept.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { DeviceChoices } from '../static/choices.js';
import { Devices } from '../static/sdk/devices.js';
import { FakeMediaStream, track } from './fakemedia.js';

/** @type {Map<string, string>} */
const kept = new Map();
/** @type {Map<string, string>} */
const keptByTab = new Map();

/** @param {Map<string, string>} kept */
function storageOf(kept) {
  return {
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
    removeItem: (/** @type {string} */ key) => void kept.delete(key),
  };
}

/** What the browser was asked for, and what it has. */
let asked = /** @type {any[]} */ ([]);
let present = /** @type {{ kind: string, deviceId: string, label: string }[]} */ ([]);
const mediaDevices = Object.assign(new EventTarget(), {
  enumerateDevices: async () => present,
  /** @param {any} wanted */
  async getUserMedia(wanted) {
    asked.push(wanted);
    const kinds = /** @type {const} */ (['audio', 'video']).filter((kind) => wanted[kind]);
    for (const kind of kinds) {
      const id = wanted[kind].deviceId?.exact;
      if (id && (id === 'gone' || !present.some(({ deviceId }) => deviceId === id))) throw Object.assign(new Error('no'), { name: 'OverconstrainedError' });
    }
    return new FakeMediaStream(kinds.map((kind) => {
      const of = present.find(({ kind: known, deviceId }) => known === `${kind}input` && (!wanted[kind].deviceId || wanted[kind].deviceId.exact === deviceId));
      return Object.assign(track(kind), { label: of?.label, getSettings: () => ({ deviceId: of?.deviceId, facingMode: /** @type {any} */ (of)?.facingMode }) });
    }));
  },
});
const front = { kind: 'videoinput', deviceId: 'v1', label: 'front' };
const rear = { kind: 'videoinput', deviceId: 'v2', label: 'rear' };
const mic = { kind: 'audioinput', deviceId: 'a1', label: 'mic' };

beforeEach(() => {
  Object.defineProperty(globalThis, 'localStorage', { configurable: true, value: storageOf(kept) });
  Object.defineProperty(globalThis, 'sessionStorage', { configurable: true, value: storageOf(keptByTab) });
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { mediaDevices } });
  kept.clear();
  keptByTab.clear();
  asked = [];
  present = [front, rear, mic];
});

/** A page of this browser. */
function page() {
  const choices = new DeviceChoices();
  const devices = new Devices({ mediaDevices: choices.mediaDevices });
  choices.follow(devices, () => false);
  return { choices, devices };
}

test('a device that was chosen is opened whenever it is there, by its id or, under another id, by its label', async () => {
  const { choices, devices } = page();
  await devices.start();
  assert.equal(asked[0].video.deviceId, undefined);
  await choices.choose(devices, 'camera', { id: 'v2', label: 'rear' });
  assert.equal(devices.tracks.camera?.label, 'rear');
  const next = page();
  await next.devices.start();
  assert.deepEqual([next.devices.tracks.camera?.label, asked.at(-1).video.facingMode], ['rear', undefined]);
  present = [front, { ...rear, deviceId: 'v9' }, mic];
  const later = page();
  await later.devices.start();
  assert.equal(later.devices.tracks.camera?.label, 'rear');
});

test('another device is opened if the one that was chosen is not there, or goes in that moment', async () => {
  const { choices, devices } = page();
  await choices.choose(devices, 'camera', { id: 'v2', label: 'rear' });
  present = [front, mic];
  await devices.open('camera');
  assert.equal(devices.tracks.camera?.label, 'front');
  await choices.choose(devices, 'camera', { id: 'gone', label: 'third' });
  present = [front, { ...rear, deviceId: 'gone', label: 'third' }, mic];
  assert.equal(await devices.open('camera'), null);
  assert.equal(devices.tracks.camera?.label, 'front');
});

test('a browser that tells its devices only once one is open gets the chosen one then', async () => {
  const first = page();
  await first.choices.choose(first.devices, 'camera', { id: 'v2', label: 'rear' });
  present = [front, rear, mic].map((device) => ({ ...device, deviceId: '', label: '' }));
  const { choices, devices } = page();
  const opening = devices.start();
  present = [front, rear, mic];
  await opening;
  await choices.recognize(devices);
  assert.equal(devices.tracks.camera?.label, 'rear');
});

test('what was released while the chosen camera opens stays released', async () => {
  const other = { kind: 'audioinput', deviceId: 'a2', label: 'headset' };
  const first = page();
  await first.choices.choose(first.devices, 'camera', { id: 'v2', label: 'rear' });
  await first.choices.choose(first.devices, 'microphone', { id: 'a2', label: 'headset' });
  present = [];
  const { choices, devices } = page();
  const opening = devices.start();
  present = [front, rear, mic, other];
  await opening;
  assert.deepEqual([devices.tracks.camera?.label, devices.tracks.microphone?.label], ['front', 'mic']);
  const asking = asked.length;
  const recognized = choices.recognize(devices);
  for (let turns = 0; asked.length === asking && turns < 100; turns++) await Promise.resolve();
  devices.close('camera');
  devices.close('microphone');
  await recognized;
  assert.deepEqual([devices.tracks.camera, devices.tracks.microphone], [null, null]);
  assert.equal(asked.length, asking + 1, 'the microphone was opened again');
});

test('what the user turns off is off next time; what was unplugged, refused or turned off by the page is not', async () => {
  const { devices } = page();
  await devices.start();
  await devices.toggle('microphone');
  assert.deepEqual(new DeviceChoices().wanted, { camera: true, microphone: false });
  await devices.toggle('microphone');
  await devices.toggle('camera');
  assert.deepEqual(new DeviceChoices().wanted, { camera: false, microphone: true });
  await devices.toggle('camera');
  /** @type {any} */ (devices.tracks.camera).becomes('ended');
  assert.equal(devices.tracks.camera, null);
  assert.deepEqual(new DeviceChoices().wanted, { camera: true, microphone: true });
  const choices = new DeviceChoices();
  const other = new Devices({ mediaDevices: choices.mediaDevices });
  choices.follow(other, () => true);
  await other.start();
  other.close('camera');
  assert.deepEqual(new DeviceChoices().wanted, { camera: true, microphone: true });
});

test('who came without camera and microphone is without them after a reload too, until they turn one on', async () => {
  const { choices, devices } = page();
  choices.enter('standup', true);
  assert.deepEqual(new DeviceChoices().wantedAgain('standup'), { camera: false, microphone: false });
  assert.deepEqual(new DeviceChoices().wantedAgain('another'), { camera: true, microphone: true });
  assert.deepEqual(new DeviceChoices().wanted, { camera: true, microphone: true }, 'in the next lobby');
  await devices.toggle('microphone');
  const next = page();
  assert.deepEqual(next.choices.wantedAgain('standup'), { camera: false, microphone: true });
  await next.devices.toggle('camera');
  assert.deepEqual(new DeviceChoices().wantedAgain('standup'), { camera: true, microphone: true });
  choices.enter('standup', true);
  choices.enter('standup', false);
  assert.deepEqual(new DeviceChoices().wantedAgain('standup'), { camera: true, microphone: true });
});

test('a phone turns to its other camera, whose picture is no mirror, and back', async () => {
  const { choices, devices } = page();
  await devices.start();
  const before = devices.tracks.camera;
  await choices.flip(devices);
  assert.deepEqual([before?.readyState, asked.at(-1).video.facingMode, choices.isMirrored], ['ended', 'environment', false]);
  await choices.flip(devices);
  assert.deepEqual([asked.at(-1).video.facingMode, choices.isMirrored], ['user', true]);
});

test('a camera that looks away is no mirror, and is turned around, also if it was chosen from the list', async () => {
  present = [{ ...front, facingMode: 'user' }, { ...rear, facingMode: 'environment' }, mic].map((device) => /** @type {any} */ (device));
  const { choices, devices } = page();
  await devices.start();
  await choices.choose(devices, 'camera', { id: 'v2', label: 'rear' });
  assert.deepEqual([devices.tracks.camera?.label, choices.isMirrored], ['rear', false]);
  await choices.flip(devices);
  assert.equal(asked.at(-1).video.facingMode, 'user');
  assert.deepEqual([devices.tracks.camera?.label, choices.isMirrored], ['front', true]);
});

test('what stands in the storage may be anything', () => {
  for (const text of ['', 'null', '7', '"x"', '[]', '{"camera":7,"microphone":{"on":"maybe","id":9},"speaker":null,"mirror":"no"}', '{']) {
    kept.set('turnpike.devices', text);
    const choices = new DeviceChoices();
    assert.deepEqual([choices.wanted, choices.mirror, choices.speaker, choices.idOf('microphone')], [{ camera: true, microphone: true }, true, {}, undefined], text);
  }
});
