// @ts-check
// Tracks and streams of nothing.

export class FakeTrack extends EventTarget {
  enabled = true;
  muted = false;
  readyState = 'live';
  /** @param {string} kind */
  constructor(kind) {
    super();
    this.kind = kind;
  }

  getSettings() {
    return { width: 1280, height: 720 };
  }

  stop() {
    this.readyState = 'ended'; // with no event, as in browsers
  }

  /** By itself: `ended`, `mute` or `unmute`. @param {string} name */
  becomes(name) {
    if (name === 'ended') this.readyState = 'ended';
    else this.muted = name === 'mute';
    this.dispatchEvent(new Event(name));
  }
}

/** @param {'audio' | 'video'} kind @returns {any} */
export function track(kind) {
  return new FakeTrack(kind);
}

export class FakeMediaStream {
  /** @param {any[]} [tracks] */
  constructor(tracks = []) {
    this.tracks = [...tracks];
  }

  /** @param {unknown} track */
  addTrack(track) {
    if (!this.tracks.includes(track)) this.tracks.push(track);
  }

  getTracks() {
    return [...this.tracks];
  }

  getAudioTracks() {
    return this.tracks.filter(({ kind }) => kind === 'audio');
  }

  getVideoTracks() {
    return this.tracks.filter(({ kind }) => kind === 'video');
  }

  /** @param {unknown} track */
  removeTrack(track) {
    this.tracks = this.tracks.filter((other) => other !== track);
  }
}
