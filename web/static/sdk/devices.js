// @ts-check
import { abortable } from './abortable.js';
import { Emitter, emit } from './emitter.js';
import { NO_TRACKS, kindOf } from './peer/sources.js';

/**
 * @import { Source, Tracks } from './peer/sources.js'
 *
 * refused: the user, or the system, does not let this page use it; missing: there is none; busy: another program has it;
 * insecure: browsers open devices only for pages with HTTPS, or on localhost; cancelled: the user chose no screen
 * @typedef {'refused' | 'missing' | 'busy' | 'insecure' | 'cancelled'} ProblemCode
 * @typedef {{ source: Source, code: ProblemCode, message: string }} Problem `message` is a sentence for the user
 * @typedef {'camera' | 'microphone'} Device
 *
 * @typedef {object} DevicesEvents
 * @property {Tracks} tracks others than before, or one of them is muted: share them
 * @property {Problem} problem a device could not be opened
 * @property {{ source: Source, label: string, replaced: boolean }} lost a device is gone, or the user has stopped it in the
 * browser's own controls; replaced: another one has taken its place
 * @property {{ source: Source, muted: boolean }} muted the system, or a switch of the device, has silenced it, or has ceased to
 * @property {null} devices there are others to choose from, or the user may use others: see `list`
 *
 * @typedef {{ id: string, label: string, used: boolean }} DeviceInfo
 *
 * @typedef {{ signal?: AbortSignal }} Openable `signal` gives up what is being opened
 *
 * @typedef {object} DevicesOptions
 * @property {AbortSignal} [signal] releases everything, for good
 * @property {MediaDevices} [mediaDevices] default: the browser's
 * @property {Permissions} [permissions] default: the browser's
 * @property {{ [D in Device]?: MediaTrackConstraints }} [constraints] more than the usual ones
 */

/** @type {{ [D in Device]: MediaTrackConstraints }} */
const USUAL = {
  microphone: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  camera: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' },
};

/** @type {{ [C in ProblemCode]: (name: string) => string }} */
const SENTENCES = {
  refused: (name) => `The browser does not let this page use the ${name}. Allow it in the address bar, then try again.`,
  missing: (name) => `No ${name} was found.`,
  busy: (name) => `Another program is using the ${name}, or it does not work.`,
  insecure: (name) => `Browsers open the ${name} only for pages with HTTPS, or on localhost.`,
  cancelled: () => 'No screen was chosen.',
};

/**
 * Our own devices. A muted microphone stays open, so that it is back at once. A camera that is turned off is released, so that
 * its light goes out.
 *
 * @extends {Emitter<DevicesEvents>}
 */
export class Devices extends Emitter {
  #mediaDevices;
  #permissions;
  #constraints;
  #stopped = new AbortController();
  /** @type {Tracks} what `room.share` takes */
  tracks = NO_TRACKS;
  /** @type {{ [D in Device]?: string }} ids that `use` has chosen */
  #chosen = {};
  /** Whether the microphone that was lost was muted: then the next one is. */
  #muted = false;
  /** @type {{ [S in Source]?: object }} another object after each `close`: what was asked for before it comes too late */
  #closed = {};
  /** @type {Map<Source, AbortController>} ends the listeners of the track of a source */
  #watched = new Map();

  /** @param {DevicesOptions} [options] */
  constructor({ mediaDevices, permissions, constraints = {}, signal } = {}) {
    super();
    this.#mediaDevices = mediaDevices ?? globalThis.navigator?.mediaDevices;
    this.#permissions = permissions ?? globalThis.navigator?.permissions;
    this.#constraints = constraints;
    this.#mediaDevices?.addEventListener?.('devicechange', () => emit(this, 'devices', null), { signal: this.#stopped.signal });
    for (const device of /** @type {const} */ (['camera', 'microphone'])) this.#followPermission(device);
    signal?.addEventListener('abort', () => this.stop(), { signal: this.#stopped.signal });
    if (signal?.aborted) this.stop();
  }

  /**
   * Opens camera and microphone. If the browser does not give both, each is opened alone, so that one is there if the other is
   * missing or refused.
   *
   * @param {{ camera?: boolean, microphone?: boolean } & Openable} [wanted] default: both
   * @returns {Promise<{ [D in Device]: Problem | null }>} null: open, or not wanted
   */
  async start({ camera = true, microphone = true, signal } = {}) {
    /** @type {{ [D in Device]: Problem | null }} */
    const problems = { camera: null, microphone: null };
    const wanted = /** @type {Device[]} */ (['microphone', 'camera']).filter((device) => (device === 'camera' ? camera : microphone));
    if (wanted.length === 0) return problems;
    const failure = await this.#open(wanted, signal);
    if (!failure) return problems;
    const states = new Map(await Promise.all(wanted.map(async (device) => /** @type {const} */ ([device, await this.permission(device)]))));
    // If the user has just closed the browser's question, nobody asks it again at once.
    const isDismissed = failure === 'refused' && [...states.values()].every((state) => state === 'prompt');
    for (const device of wanted) {
      const isClear = wanted.length === 1 || isDismissed || states.get(device) === 'denied' || failure === 'insecure';
      const code = isClear ? failure : await this.#open([device], signal);
      if (code) problems[device] = this.#report(device, code);
    }
    return problems;
  }

  /**
   * Turns the camera on or off, or mutes the microphone or ends that; a microphone that is not there is opened.
   *
   * @param {Device} device
   * @param {Openable} [options]
   * @returns {Promise<Problem | null>}
   */
  async toggle(device, options) {
    const track = this.tracks[device];
    if (!track) {
      this.#muted = false;
      return this.open(device, options);
    }
    if (device === 'camera') {
      this.close(device);
    } else {
      track.enabled = !track.enabled;
      emit(this, 'tracks', this.tracks);
    }
    return null;
  }

  /** @param {Device} device @param {Openable} [options] @returns {Promise<Problem | null>} */
  async open(device, { signal } = {}) {
    const code = await this.#open([device], signal);
    return code ? this.#report(device, code) : null;
  }

  /** Releases what a source has open, or is about to open. @param {Source} source */
  close(source) {
    this.#closed[source] = {};
    const track = this.tracks[source];
    if (!track) return;
    this.#set({ [source]: null });
    track.stop();
  }

  /**
   * Takes another device from now on.
   *
   * @param {Device} device
   * @param {string} id one of `list`
   * @param {Openable} [options]
   * @returns {Promise<Problem | null>}
   */
  use(device, id, options) {
    this.#chosen[device] = id;
    return this.open(device, options);
  }

  /**
   * Lets the user choose a screen, a window or a tab, with its sound if the browser has it.
   *
   * @param {DisplayMediaStreamOptions} [options]
   * @param {Openable} [more]
   * @returns {Promise<Problem | null>}
   */
  async shareScreen(options = { video: true, audio: true }, { signal } = {}) {
    if (!this.#mediaDevices?.getDisplayMedia) return this.#report('screen', this.#mediaDevices ? 'missing' : 'insecure');
    const closed = { ...this.#closed };
    try {
      const stream = await asked(() => this.#mediaDevices.getDisplayMedia(options), signal);
      this.#take({ screen: stream.getVideoTracks()[0] ?? null, screenAudio: stream.getAudioTracks()[0] ?? null }, closed);
      return null;
    } catch (error) {
      signal?.throwIfAborted();
      const code = problemCode(error);
      return code === 'refused' ? problem('screen', 'cancelled') : this.#report('screen', code);
    }
  }

  stopScreen() {
    this.close('screen');
    this.close('screenAudio');
  }

  /**
   * What there is to choose from. Browsers tell the labels only once a device was opened.
   *
   * @returns {Promise<{ cameras: DeviceInfo[], microphones: DeviceInfo[] }>}
   */
  async list() {
    const all = (await this.#mediaDevices?.enumerateDevices()) ?? [];
    const of = (/** @type {Device} */ device) => {
      const used = this.tracks[device]?.getSettings().deviceId;
      return all.filter(({ kind, deviceId }) => kind === `${kindOf(device)}input` && deviceId)
        .map(({ deviceId: id, label }) => ({ id, label, used: id === used }));
    };
    return { cameras: of('camera'), microphones: of('microphone') };
  }

  /** @param {Device} device @returns {Promise<PermissionState | 'unknown'>} unknown: this browser does not say */
  async permission(device) {
    return (await this.#permissionStatus(device))?.state ?? 'unknown';
  }

  /** Releases everything, for good. */
  stop() {
    this.#stopped.abort();
    for (const watched of this.#watched.values()) watched.abort();
    for (const track of Object.values(this.tracks)) track?.stop();
    this.tracks = NO_TRACKS;
  }

  /**
   * @param {Device[]} devices
   * @param {AbortSignal} [signal]
   * @returns {Promise<ProblemCode | undefined>} undefined: they are open
   */
  async #open(devices, signal) {
    if (!this.#mediaDevices) return 'insecure';
    /** @type {MediaStreamConstraints} */
    const constraints = {};
    for (const device of devices) {
      const id = this.#chosen[device];
      constraints[kindOf(device)] = { ...USUAL[device], ...this.#constraints[device], ...(id !== undefined && { deviceId: { exact: id } }) };
    }
    const closed = { ...this.#closed };
    try {
      const stream = await asked(() => this.#mediaDevices.getUserMedia(constraints), signal);
      /** @type {{ [D in Device]?: MediaStreamTrack }} */
      const tracks = {};
      for (const track of stream.getTracks()) tracks[track.kind === 'audio' ? 'microphone' : 'camera'] = track;
      this.#take(tracks, closed);
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      return problemCode(error);
    }
  }

  /**
   * @param {{ [S in Source]?: MediaStreamTrack | null }} opened
   * @param {{ [S in Source]?: object }} closed as it was when they were asked for
   */
  #take(opened, closed) {
    const tracks = { ...opened };
    for (const source of /** @type {Source[]} */ (Object.keys(opened))) {
      if (!this.#stopped.signal.aborted && closed[source] === this.#closed[source]) continue;
      opened[source]?.stop();
      delete tracks[source];
    }
    if (Object.keys(tracks).length === 0) return;
    const former = this.tracks;
    // It stays muted. An app that only listens to `tracks` must not send what the user does not want heard.
    if (tracks.microphone && (former.microphone ? !former.microphone.enabled : this.#muted)) tracks.microphone.enabled = false;
    this.#set(tracks);
    for (const source of /** @type {Source[]} */ (Object.keys(tracks))) {
      if (former[source] !== this.tracks[source]) former[source]?.stop();
    }
  }

  /** @param {{ [S in Source]?: MediaStreamTrack | null }} tracks */
  #set(tracks) {
    this.tracks = Object.freeze({ ...this.tracks, ...tracks });
    for (const [source, track] of /** @type {[Source, MediaStreamTrack | null][]} */ (Object.entries(tracks))) {
      this.#watched.get(source)?.abort();
      if (!track) continue;
      const watched = new AbortController();
      const { signal } = watched;
      this.#watched.set(source, watched);
      track.addEventListener('ended', () => this.#lost(source, track), { signal });
      for (const name of ['mute', 'unmute']) {
        track.addEventListener(name, () => emit(this, 'muted', { source, muted: track.muted }), { signal });
      }
    }
    emit(this, 'tracks', this.tracks);
  }

  /**
   * A microphone is replaced by the default one, muted if it was muted: the user goes on talking. A camera is not: nobody
   * wants to be on another one of a sudden.
   *
   * @param {Source} source
   * @param {MediaStreamTrack} track
   */
  async #lost(source, track) {
    this.#set({ [source]: null });
    let replaced = false;
    if (source === 'microphone') {
      delete this.#chosen.microphone;
      this.#muted = !track.enabled;
      await this.#open(['microphone']);
      replaced = this.tracks.microphone !== null;
    }
    if (!this.#stopped.signal.aborted) emit(this, 'lost', { source, label: track.label, replaced });
  }

  /**
   * @param {Source} source
   * @param {ProblemCode} code
   */
  #report(source, code) {
    const reported = problem(source, code);
    emit(this, 'problem', reported);
    return reported;
  }

  /** @param {Device} device */
  async #followPermission(device) {
    const status = await this.#permissionStatus(device);
    if (!this.#stopped.signal.aborted) {
      status?.addEventListener?.('change', () => emit(this, 'devices', null), { signal: this.#stopped.signal });
    }
  }

  /** @param {Device} device */
  async #permissionStatus(device) {
    try {
      return await this.#permissions?.query({ name: /** @type {PermissionName} */ (device) });
    } catch {
      return undefined; // Some browsers do not know these names.
    }
  }
}

/**
 * What the browser opens after `signal` was aborted is released at once.
 *
 * @param {() => Promise<MediaStream>} ask
 * @param {AbortSignal | undefined} signal
 */
async function asked(ask, signal) {
  signal?.throwIfAborted();
  return abortable(ask(), signal, (stream) => stream.getTracks().forEach((track) => track.stop()));
}

/**
 * @param {Source} source
 * @param {ProblemCode} code
 * @returns {Problem}
 */
function problem(source, code) {
  return { source, code, message: SENTENCES[code](source) };
}

/** @param {unknown} error of getUserMedia @returns {ProblemCode} */
function problemCode(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'refused';
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'missing';
  return 'busy';
}
