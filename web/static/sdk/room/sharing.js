// @ts-check
import { NO_TRACKS, SOURCES, changesOf, isOn } from '../peer/sources.js';

/**
 * @import { Share, Source, Tracks } from '../peer/sources.js'
 *
 * @typedef {'shared' | 'stopped' | 'ended' | 'muted' | 'unmuted'} SharingReason ended: the device is gone, or the user has
 * stopped it in the browser's own controls; muted, unmuted: by us, by the system or by a switch of the device
 */

/** What we share in a room. It follows the tracks: they may end or fall silent by themselves. */
export class Sharing {
  /** @type {Tracks} */
  tracks = NO_TRACKS;
  #changed;
  /** @type {Map<Source, AbortController>} ends the listeners of the track of a source */
  #watched = new Map();

  /** @param {(source: Source, reason: SharingReason) => void} changed called after each change of a source */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * @param {Share} share
   * @returns {boolean} whether there are other tracks now
   * @throws {TypeError} and changes nothing
   */
  change(share) {
    const changes = changesOf(share);
    const changed = SOURCES.filter((source) => changes[source] !== undefined && changes[source] !== this.tracks[source]);
    this.tracks = Object.freeze({ ...this.tracks, ...Object.fromEntries(changed.map((source) => [source, changes[source] ?? null])) });
    for (const source of changed) {
      this.#watch(source);
      this.#changed(source, this.tracks[source] ? 'shared' : 'stopped');
    }
    return changed.length > 0;
  }

  /**
   * @param {Source} source
   * @param {boolean} muted
   */
  mute(source, muted) {
    if (!SOURCES.includes(source)) throw new TypeError(`'${source}' cannot be muted; it must be one of ${SOURCES.join(', ')}.`);
    const track = this.tracks[source];
    if (!track || track.enabled === !muted) return;
    track.enabled = !muted;
    this.#changed(source, muted ? 'muted' : 'unmuted');
  }

  stop() {
    for (const watched of this.#watched.values()) watched.abort();
  }

  /** @param {Source} source */
  #watch(source) {
    this.#watched.get(source)?.abort();
    this.#watched.delete(source);
    const track = this.tracks[source];
    if (!track) return;
    const ended = new AbortController();
    this.#watched.set(source, ended);
    const { signal } = ended;
    const onEnd = () => {
      ended.abort();
      this.tracks = Object.freeze({ ...this.tracks, [source]: null });
      this.#changed(source, 'ended');
    };
    if (track.readyState === 'ended') return queueMicrotask(() => !signal.aborted && onEnd());
    track.addEventListener('ended', onEnd, { signal });
    track.addEventListener('mute', () => this.#changed(source, 'muted'), { signal });
    track.addEventListener('unmute', () => isOn(track) && this.#changed(source, 'unmuted'), { signal });
  }
}
