// @ts-check
import { storeDevices, storedDevices } from './storage.js';

/**
 * @import { Device } from './sdk/devices.js'
 * @import { Devices } from './sdk/turnpike.js'
 *
 * @typedef {object} Choice of a camera or a microphone
 * @property {boolean} on
 * @property {string} [id] of the device
 * @property {string} [label] of the device, since a browser may give it another id tomorrow
 *
 * @typedef {'user' | 'environment'} Facing
 */

/** What this browser's user has chosen of cameras and microphones. It is kept for the next lobby. */
export class DeviceChoices {
  /** @type {Record<Device, Choice>} */
  #chosen = { camera: { on: true }, microphone: { on: true } };
  /** @type {{ id?: string, label?: string }} where sound comes out; empty: where the system wants it */
  #speaker = {};
  /** @type {Facing} which way the camera of a phone looks */
  #facing = 'user';
  /** Whether our own picture is turned as a mirror turns it, wherever only we see it. */
  #mirror = true;
  #noiseSuppression = true;
  /** @type {{ [D in Device]: MediaTrackConstraints }} for `Devices`, which reads it each time that it opens one */
  constraints = { camera: {}, microphone: {} };

  constructor() {
    const { camera, microphone, speaker, mirror, noiseSuppression } = storedDevices();
    this.#speaker = readDevice(speaker);
    this.#chosen = { camera: readChoice(camera), microphone: readChoice(microphone) };
    this.#mirror = mirror !== false;
    this.#noiseSuppression = noiseSuppression !== false;
    this.#constrain();
  }

  /** Which devices the user wants to be on. */
  get wanted() {
    return { camera: this.#chosen.camera.on, microphone: this.#chosen.microphone.on };
  }

  /** @param {Device} device @returns {string | undefined} the id of the one that was chosen */
  idOf(device) {
    return this.#chosen[device].id;
  }

  get speaker() {
    return this.#speaker;
  }

  set speaker(speaker) {
    this.#speaker = speaker;
    this.#store();
  }

  get mirror() {
    return this.#mirror;
  }

  set mirror(mirror) {
    this.#mirror = mirror;
    this.#store();
  }

  /** Whether our own picture must be shown as a mirror would: not that of a camera that looks away from us. */
  get isMirrored() {
    return this.#mirror && this.#facing === 'user';
  }

  get noiseSuppression() {
    return this.#noiseSuppression;
  }

  /**
   * @param {Devices} devices
   * @param {boolean} noiseSuppression
   */
  async suppressNoise(devices, noiseSuppression) {
    this.#noiseSuppression = noiseSuppression;
    this.#constrain();
    this.#store();
    if (devices.tracks.microphone) await devices.open('microphone');
  }

  /**
   * Notes whether the user turns a device on or off. A device that was unplugged, refused or never there is no choice.
   *
   * @param {Devices} devices
   * @param {() => boolean} isOurDoing whether the page itself turns devices off at the moment
   */
  follow(devices, isOurDoing) {
    let { camera, microphone } = devices.tracks;
    devices.on('tracks', (tracks) => {
      const formerly = { camera, microphone };
      ({ camera, microphone } = tracks);
      if (isOurDoing()) return;
      if (tracks.camera || formerly.camera?.readyState === 'live') this.#chosen.camera.on = !!tracks.camera;
      if (tracks.microphone || formerly.microphone?.readyState === 'live') this.#chosen.microphone.on = !!tracks.microphone?.enabled;
      this.#store();
    });
  }

  /**
   * Takes this device now, if one of its kind is on, and from now on. If it is not there one day, the browser takes another.
   *
   * @param {Devices} devices
   * @param {Device} device
   * @param {{ id: string, label: string }} which one of `devices.list`
   */
  async choose(devices, device, { id, label }) {
    this.#chosen[device] = { ...this.#chosen[device], id, label };
    if (device === 'camera') this.#facing = 'user';
    this.#constrain();
    this.#store();
    if (devices.tracks[device]) await devices.open(device);
  }

  /**
   * Browsers change the ids of devices when they forget what a page has stored. The label then tells which one was chosen.
   *
   * @param {Devices} devices
   */
  async recognize(devices) {
    const { cameras, microphones } = await devices.list();
    for (const [device, list] of /** @type {const} */ ([['camera', cameras], ['microphone', microphones]])) {
      const { id, label } = this.#chosen[device];
      const renamed = label && !list.some((known) => known.id === id) ? list.find((known) => known.label === label) : undefined;
      if (renamed) await this.choose(devices, device, renamed);
    }
  }

  /**
   * Takes the camera on the other side of a phone.
   *
   * @param {Devices} devices
   */
  async flip(devices) {
    this.#facing = this.#facing === 'user' ? 'environment' : 'user';
    this.#chosen.camera = { on: this.#chosen.camera.on };
    this.#constrain();
    // Phones open one camera at a time. The others see the last picture until there is another.
    devices.tracks.camera?.stop();
    if (await devices.open('camera')) devices.close('camera');
  }

  /** A browser that has the device takes it, and any other one if it has not. */
  #constrain() {
    const { camera, microphone } = this.#chosen;
    this.constraints.camera = camera.id ? { deviceId: { ideal: camera.id }, facingMode: undefined } : { facingMode: this.#facing };
    this.constraints.microphone = { noiseSuppression: this.#noiseSuppression, ...(microphone.id && { deviceId: { ideal: microphone.id } }) };
  }

  #store() {
    storeDevices({ ...this.#chosen, speaker: this.#speaker, mirror: this.#mirror, noiseSuppression: this.#noiseSuppression });
  }
}

/** @param {unknown} stored @returns {Choice} */
function readChoice(stored) {
  return { on: Object(stored).on !== false, ...readDevice(stored) };
}

/** @param {unknown} stored @returns {{ id?: string, label?: string }} */
function readDevice(stored) {
  const { id, label } = Object(stored);
  return { ...(typeof id === 'string' && { id }), ...(typeof label === 'string' && { label }) };
}
