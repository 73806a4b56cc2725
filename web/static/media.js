// @ts-check
import { Emitter, emit } from './sdk/emitter.js';

/**
 * @typedef {'audio' | 'video'} Kind
 * @typedef {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} Media
 *
 * @typedef {object} LocalMediaEvents
 * @property {Media} change
 * @property {string} problem a sentence for the user
 */

/** @type {Record<Kind, MediaTrackConstraints>} */
const WANTED = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' },
};

/**
 * Our own camera and microphone. A muted microphone stays open, so that it is back at once. A camera that is turned off is
 * released, so that its light goes out.
 *
 * @extends {Emitter<LocalMediaEvents>}
 */
export class LocalMedia extends Emitter {
  #ended = false;
  /** @type {Media} */
  tracks = { audio: null, video: null };

  /** Asks for both. If one of them is missing, asks for each alone. */
  async start() {
    if (await this.#open(['audio', 'video']) === 'missing') {
      await this.#open(['audio']);
      await this.#open(['video']);
    }
  }

  async toggleMicrophone() {
    const { audio } = this.tracks;
    if (!audio) return this.#report(await this.#open(['audio']), 'microphone');
    audio.enabled = !audio.enabled;
    emit(this, 'change', this.tracks);
  }

  async toggleCamera() {
    const { video } = this.tracks;
    if (!video) return this.#report(await this.#open(['video']), 'camera');
    video.stop();
    this.#set('video', null);
  }

  /** Releases camera and microphone for good. */
  stop() {
    this.#ended = true;
    this.tracks.audio?.stop();
    this.tracks.video?.stop();
  }

  /**
   * @param {Kind[]} kinds
   * @returns {Promise<'open' | 'refused' | 'missing' | 'insecure'>}
   */
  async #open(kinds) {
    if (!navigator.mediaDevices) return 'insecure';
    try {
      const stream = await navigator.mediaDevices.getUserMedia(Object.fromEntries(kinds.map((kind) => [kind, WANTED[kind]])));
      for (const track of stream.getTracks()) {
        if (this.#ended) track.stop();
        else this.#add(track);
      }
      return 'open';
    } catch (error) {
      const refused = error instanceof DOMException && ['NotAllowedError', 'SecurityError'].includes(error.name);
      return refused ? 'refused' : 'missing';
    }
  }

  /** @param {MediaStreamTrack} track */
  #add(track) {
    const kind = track.kind === 'audio' ? 'audio' : 'video';
    this.tracks[kind]?.stop();
    // The device was unplugged, or the user has revoked it in the browser's own controls.
    track.addEventListener('ended', () => this.tracks[kind] === track && this.#set(kind, null));
    this.#set(kind, track);
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  #set(kind, track) {
    this.tracks = { ...this.tracks, [kind]: track };
    emit(this, 'change', this.tracks);
  }

  /**
   * @param {'open' | 'refused' | 'missing' | 'insecure'} outcome
   * @param {'microphone' | 'camera'} device
   */
  #report(outcome, device) {
    if (outcome === 'refused') emit(this, 'problem', `The browser does not let this page use the ${device}. Allow it in the address bar, then try again.`);
    if (outcome === 'missing') emit(this, 'problem', `No ${device} was found, or another program is using it.`);
    if (outcome === 'insecure') emit(this, 'problem', `Browsers open the ${device} only for pages with HTTPS, or on localhost.`);
  }
}
