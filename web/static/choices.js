// @ts-check
import { storeDevices, storeWithout, storedDevices, storedWithout } from './storage.js';

/**
 * @import { Device } from './sdk/devices.js'
 * @import { Devices } from './sdk/turnpike.js'
 *
 * @typedef {{ id?: string, label?: string }} Chosen a device; its label is kept since a browser may give it another id tomorrow
 *
 * @typedef {'user' | 'environment'} Facing
 */

/** By the `kind` of a device, as browsers call it. @type {Record<string, Device>} */
const DEVICES = { videoinput: 'camera', audioinput: 'microphone' };

/**
 * What this browser's user has chosen of cameras, microphones and speakers. It is kept for the next lobby. A device that was
 * chosen is opened whenever it is there, and any other one if it is not.
 */
export class DeviceChoices {
  /** @type {Record<Device, Chosen & { on: boolean }>} */
  #chosen;
  /** @type {Chosen} where sound comes out; empty: where the system wants it */
  #speaker;
  /** @type {Facing} which way the camera of a phone looks */
  #facing = 'user';
  /** Whether our own picture is turned as a mirror turns it, wherever only we see it. */
  #mirror;
  #noiseSuppression;
  /** What we came into a room without, until it is turned on there. @type {{ room?: string, camera?: boolean, microphone?: boolean }} */
  #without = {};

  constructor() {
    const { camera, microphone, speaker, mirror, noiseSuppression } = storedDevices();
    this.#chosen = { camera: { ...readChosen(camera), on: isOn(camera) }, microphone: { ...readChosen(microphone), on: isOn(microphone) } };
    this.#speaker = readChosen(speaker);
    this.#mirror = mirror !== false;
    this.#noiseSuppression = noiseSuppression !== false;
  }

  /** For `Devices`: the browser's own devices, but those that were chosen come first. @returns {MediaDevices | undefined} */
  get mediaDevices() {
    const real = globalThis.navigator?.mediaDevices;
    if (!real) return undefined;
    const chosen = {
      getUserMedia: (/** @type {MediaStreamConstraints} */ wanted) => this.#open(real, wanted),
      getDisplayMedia: real.getDisplayMedia && ((/** @type {DisplayMediaStreamOptions} */ options) => real.getDisplayMedia(options)),
      enumerateDevices: () => real.enumerateDevices(),
      addEventListener: real.addEventListener.bind(real),
    };
    return /** @type {MediaDevices} */ (/** @type {unknown} */ (chosen));
  }

  /** Which devices the user wants to be on. */
  get wanted() {
    return { camera: this.#chosen.camera.on, microphone: this.#chosen.microphone.on };
  }

  /**
   * Notes how we go into a room. To go in without camera and microphone is no choice for the next lobby, but a reload must not
   * turn them on.
   *
   * @param {string} room
   * @param {boolean} silent
   */
  enter(room, silent) {
    this.#without = silent ? { room, camera: true, microphone: true } : {};
    storeWithout(this.#without);
  }

  /** Which devices the user wants to be on when a reload has led back into a room. @param {string} room */
  wantedAgain(room) {
    const { camera, microphone } = this.wanted;
    this.#without = storedWithout();
    if (this.#without.room !== room) return { camera, microphone };
    return { camera: camera && !this.#without.camera, microphone: microphone && !this.#without.microphone };
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
    this.#store();
    if (devices.tracks.microphone) await devices.open('microphone');
  }

  /** @param {Device} device @returns {string | undefined} the id of the one that was chosen */
  idOf(device) {
    return this.#chosen[device].id;
  }

  /**
   * Notes whether the user turns a device on or off, and which way the camera looks. A device that was unplugged, refused or
   * never there is no choice.
   *
   * @param {Devices} devices
   * @param {() => boolean} isOurDoing whether the page itself turns devices off at the moment
   */
  follow(devices, isOurDoing) {
    let { camera, microphone } = devices.tracks;
    devices.on('tracks', (tracks) => {
      const formerly = { camera, microphone };
      ({ camera, microphone } = tracks);
      const facing = camera?.getSettings().facingMode;
      if (facing === 'user' || facing === 'environment') this.#facing = facing;
      if (isOurDoing()) return;
      if (camera || formerly.camera?.readyState === 'live') this.#chosen.camera.on = !!camera;
      if (microphone || formerly.microphone?.readyState === 'live') this.#chosen.microphone.on = !!microphone?.enabled;
      this.#store();
      this.#turnedOn({ camera: !!camera, microphone: !!microphone?.enabled });
    });
  }

  /** @param {Record<Device, boolean>} on */
  #turnedOn(on) {
    for (const device of /** @type {const} */ (['camera', 'microphone'])) {
      if (!on[device] || !this.#without[device]) continue;
      this.#without[device] = false;
      storeWithout(this.#without);
    }
  }

  /**
   * Takes this device now, if one of its kind is on, and from now on.
   *
   * @param {Devices} devices
   * @param {Device} device
   * @param {{ id: string, label: string }} which one of `devices.list`
   */
  async choose(devices, device, { id, label }) {
    this.#chosen[device] = { on: this.#chosen[device].on, id, label };
    if (device === 'camera') this.#facing = 'user';
    this.#store();
    if (devices.tracks[device]) await devices.open(device);
  }

  /**
   * Takes what was chosen in place of what the browser has opened before it told which devices there are.
   *
   * @param {Devices} devices
   */
  async recognize(devices) {
    const { cameras, microphones } = await devices.list();
    for (const [device, list] of /** @type {const} */ ([['camera', cameras], ['microphone', microphones]])) {
      const chosen = which(this.#chosen[device], list);
      const isAnother = chosen && list.some(({ used }) => used) && !chosen.used;
      // While the camera opened, the microphone may have been released.
      if (isAnother && devices.tracks[device]) await devices.open(device);
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
    this.#store();
    // Phones open one camera at a time. The others see the last picture until there is another.
    devices.tracks.camera?.stop();
    if (await devices.open('camera')) devices.close('camera');
  }

  /**
   * @param {MediaDevices} real
   * @param {MediaStreamConstraints} wanted
   */
  async #open(real, { audio, video }) {
    const microphone = audio && { ...Object(audio), noiseSuppression: this.#noiseSuppression };
    const camera = video && { ...Object(video), facingMode: this.#facing };
    const wanted = { ...(audio && { audio: microphone }), ...(video && { video: camera }) };
    const ids = await this.#idsOf(real, { camera: !!video, microphone: !!audio });
    if (!ids.camera && !ids.microphone) return real.getUserMedia(wanted);
    try {
      return await real.getUserMedia({
        ...wanted,
        ...(ids.microphone && { audio: { ...microphone, deviceId: { exact: ids.microphone } } }),
        ...(ids.camera && { video: { ...camera, facingMode: undefined, deviceId: { exact: ids.camera } } }),
      });
    } catch (error) {
      if (Object(error).name !== 'OverconstrainedError') throw error;
      return real.getUserMedia(wanted); // It was unplugged just now.
    }
  }

  /**
   * The ids of the chosen devices that are there. Nothing is asked, and so nothing waits, where nothing was chosen.
   *
   * @param {MediaDevices} real
   * @param {Record<Device, boolean>} opened
   */
  async #idsOf(real, opened) {
    /** @type {{ [D in Device]?: string }} */
    const ids = {};
    const devices = /** @type {Device[]} */ (['camera', 'microphone']).filter((device) => opened[device] && this.#chosen[device].id);
    const all = devices.length > 0 ? await real.enumerateDevices() : [];
    for (const device of devices) {
      const list = all.filter(({ kind, deviceId }) => DEVICES[kind] === device && deviceId).map(({ deviceId: id, label }) => ({ id, label }));
      ids[device] = which(this.#chosen[device], list)?.id;
    }
    return ids;
  }

  #store() {
    storeDevices({ ...this.#chosen, speaker: this.#speaker, mirror: this.#mirror, noiseSuppression: this.#noiseSuppression });
  }
}

/**
 * @template {{ id: string, label: string }} T
 * @param {Chosen} chosen
 * @param {T[]} list
 * @returns {T | undefined} the one of the list that was chosen
 */
export function which({ id, label }, list) {
  return list.find((device) => device.id === id) ?? (label ? list.find((device) => device.label === label) : undefined);
}

/** @param {unknown} stored */
function isOn(stored) {
  return Object(stored).on !== false;
}

/** @param {unknown} stored @returns {Chosen} */
function readChosen(stored) {
  const { id, label } = Object(stored);
  return { ...(typeof id === 'string' && { id }), ...(typeof label === 'string' && { label }) };
}
